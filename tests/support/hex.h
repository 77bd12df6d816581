#ifndef SYNOD_TESTS_SUPPORT_HEX_H
#define SYNOD_TESTS_SUPPORT_HEX_H

/*
 * hex.h - bytes written as text in tests.
 */

#include "base/bytes.h"
#include "base/buf.h"

/* Makes `out` hold the bytes that `text` names in hex; blanks between bytes are skipped. Aborts on
 * anything else. Returns them. */
struct bytes hex_parse(const char *text, struct buf *out);

#endif
