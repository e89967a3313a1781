/* SPDX-License-Identifier: MIT */
#ifndef USHM_EDGE_MAP_H
#define USHM_EDGE_MAP_H

/* Before the first call of core/mapping.h. */
void map_configure(void);

#endif
