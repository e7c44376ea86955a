// SPDX-License-Identifier: MIT
// What changes with every pass, written by the host into one small buffer: the rows, the rows that want an output, and which page a
// position lies in. Words 0 to 3 say where each part begins.
layout(set = 0, binding = 2) readonly buffer Tables { uint t[]; } tables;

uint row_slot(uint r) { return tables.t[tables.t[0] + 4u * r]; }
uint row_position(uint r) { return tables.t[tables.t[0] + 4u * r + 1u]; }
uint row_token(uint r) { return tables.t[tables.t[0] + 4u * r + 2u]; }
uint row_flags(uint r) { return tables.t[tables.t[0] + 4u * r + 3u]; }
uint out_row(uint i) { return tables.t[tables.t[1] + i]; }
// Where the page numbers of a slot's class begin.
uint slot_pages(uint slot, uint page_class) { return tables.t[3] + tables.t[tables.t[2] + 2u * slot + page_class]; }
uint page_number(uint pages, uint i) { return tables.t[pages + i]; }
