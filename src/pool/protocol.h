/* protocol.h - the pool protocol: the frames between a worker and the process that runs its
 * tasks.
 *
 * Documented for other languages in docs/pool-protocol.md. A frame is
 *
 *     u32 length of what follows | u8 type | u8 flags | u16 zero | u64 request id | sections...
 *
 * and a section is  u8 tag | u8 zero | u16 zero | u32 length | bytes.  Integers are little-endian;
 * inside sections they are 8 bytes, two's complement. A reader skips tags that it does not know. A
 * frame, head included, has at most CEL_FRAME_MAX bytes. The host's first frame is HELLO with
 * CEL_PROTOCOL_VERSION. Pure; any thread. */
#ifndef CEL_POOL_PROTOCOL_H
#define CEL_POOL_PROTOCOL_H

#include <stdint.h>

#include "celeriac/error.h"
#include "core/buf.h"
#include "message/message.h"

#define CEL_PROTOCOL_VERSION 1
#define CEL_FRAME_MAX        ((size_t)512 << 20)
#define CEL_FRAME_HEAD       16
#define CEL_SECTION_HEAD     8

/* Set in the flags of a REQUEST that is not expected to be short: the host flushes what it
 * holds back and sends STARTED before it runs it. */
#define CEL_FRAME_ANNOUNCE 1

/* X(constant, value, direction, meaning) */
#define CEL_FRAME_TYPES(X)                                                                     \
    X(CEL_FRAME_HELLO, 1, "up", "the host is there: VERSION, PID, IN_FLIGHT")                  \
    X(CEL_FRAME_REQUEST, 2, "down", "run a task: PROPERTIES, HEADERS, BODY, DELIVERY_INFO")    \
    X(CEL_FRAME_STARTED, 3, "up", "the request has begun: PID, TIME_US (wall)")                \
    X(CEL_FRAME_UPDATE, 4, "up", "custom state while it runs: STATE, RESULT")                  \
    X(CEL_FRAME_PUBLISH, 5, "up",                                                              \
      "messages sent by the task while it runs: MESSAGE..., "                                  \
      "CHORD...; answered by REPLY")                                                           \
    X(CEL_FRAME_OUTCOME, 6, "up", "the request has ended: see outcome.h")                      \
    X(CEL_FRAME_REPLY, 7, "down", "answers an up-call: CODE, TEXT")                            \
    X(CEL_FRAME_QUIT, 8, "down", "finish what is in hand, then exit")                          \
    X(CEL_FRAME_LOG, 9, "up",                                                                  \
      "a log line of the task, or of the host (request id 0): LEVEL, "                         \
      "TEXT")

/* X(constant, value, type, meaning) */
#define CEL_SECTION_TAGS(X)                                                                    \
    X(CEL_TAG_VERSION, 1, "int", "protocol version")                                           \
    X(CEL_TAG_PID, 2, "int", "process id")                                                     \
    X(CEL_TAG_IN_FLIGHT, 3, "int",                                                             \
      "how many requests it takes at once; others wait in its "                                \
      "socket")                                                                                \
    X(CEL_TAG_PROPERTIES, 4, "json", "the message's properties")                               \
    X(CEL_TAG_HEADERS, 5, "json", "the message's headers")                                     \
    X(CEL_TAG_BODY, 6, "bytes", "the message's body")                                          \
    X(CEL_TAG_DELIVERY_INFO, 7, "json", "hostname, queue, redelivered, time limits in force")  \
    X(CEL_TAG_TIME_US, 8, "int", "microseconds since 1970")                                    \
    X(CEL_TAG_STATE, 9, "text",                                                                \
      "task state: SUCCESS, FAILURE, RETRY, REVOKED, IGNORED, "                                \
      "REJECTED or custom")                                                                    \
    X(CEL_TAG_RESULT, 10, "json", "the value, or the encoded exception")                       \
    X(CEL_TAG_TRACEBACK, 11, "text", "traceback")                                              \
    X(CEL_TAG_CHILDREN, 12, "json", "array of result tuples of what was sent")                 \
    X(CEL_TAG_REPR, 13, "text", "repr of the value or the exception, for the log")             \
    X(CEL_TAG_EXPECTED, 14, "int", "1: the exception is one that the task declares (throws)")  \
    X(CEL_TAG_REQUEUE, 15, "int", "REJECTED: 1 puts the message back")                         \
    X(CEL_TAG_RUNTIME_US, 16, "int", "how long it ran")                                        \
    X(CEL_TAG_MESSAGE, 17, "sections",                                                         \
      "a message to publish: EXCHANGE, ROUTING_KEY, "                                          \
      "PROPERTIES, HEADERS, BODY, ETA, TASK")                                                  \
    X(CEL_TAG_CHORD, 18, "sections",                                                           \
      "a chord to open before: GID, SIZE, and DOCUMENT if the "                                \
      "group is to be saved")                                                                  \
    X(CEL_TAG_PART, 19, "sections",                                                            \
      "a chord part that ends with this: GID, ID, INDEX, STATE, "                              \
      "RESULT, BODY (signature), ROOT")                                                        \
    X(CEL_TAG_VICTIM, 20, "sections",                                                          \
      "another task that ends with it: ID, STATE, RESULT, "                                    \
      "TRACEBACK")                                                                             \
    X(CEL_TAG_EXCHANGE, 21, "text", "exchange")                                                \
    X(CEL_TAG_ROUTING_KEY, 22, "text", "routing key")                                          \
    X(CEL_TAG_ETA, 23, "int", "milliseconds since 1970")                                       \
    X(CEL_TAG_TASK, 24, "text", "task name")                                                   \
    X(CEL_TAG_GID, 25, "text", "group id")                                                     \
    X(CEL_TAG_SIZE, 26, "int", "chord size")                                                   \
    X(CEL_TAG_DOCUMENT, 27, "json", "document")                                                \
    X(CEL_TAG_ID, 28, "text", "task id")                                                       \
    X(CEL_TAG_INDEX, 29, "int", "group index; -1 unknown")                                     \
    X(CEL_TAG_ROOT, 30, "text", "root id")                                                     \
    X(CEL_TAG_CODE, 31, "int", "a cel_code")                                                   \
    X(CEL_TAG_TEXT, 32, "text", "text")                                                        \
    X(CEL_TAG_LEVEL, 33, "int", "log level, Python's numbers")                                 \
    X(CEL_TAG_RSS_KIB, 34, "int", "resident memory of the host after the task")                \
    X(CEL_TAG_STORE, 35, "int", "0: the result is not to be stored (ignore_result)")           \
    X(CEL_TAG_ARGS, 36, "json", "arguments (result_extended)")                                 \
    X(CEL_TAG_KWARGS, 37, "json", "keyword arguments (result_extended)")                       \
    X(CEL_TAG_GROW, 38, "int",                                                                 \
      "in CHORD, in place of SIZE: the chord is open and waits for "                           \
      "that many parts more")

typedef enum cel_frame_type {
#define CEL_X(name, value, direction, text) name = value,
    CEL_FRAME_TYPES(CEL_X)
#undef CEL_X
} cel_frame_type;

typedef enum cel_section_tag {
#define CEL_X(name, value, type, text) name = value,
    CEL_SECTION_TAGS(CEL_X)
#undef CEL_X
} cel_section_tag;

/* ---- writing: begin, sections, end; failures stick in `buf` ---- */

/* Begins a frame and returns its offset, for cel__frame_end(), which makes `buf` failed if the
 * frame grew beyond CEL_FRAME_MAX. Frames do not nest. */
size_t cel__frame_begin(cel__buf *buf, cel_frame_type type, uint64_t request_id);
void cel__frame_end(cel__buf *buf, size_t start);

/* Adds one section; an absent view adds nothing. */
void cel__section_add(cel__buf *buf, cel_section_tag tag, cel_view bytes);
void cel__section_add_int(cel__buf *buf, cel_section_tag tag, int64_t value);

/* Begins a section that holds sections and returns its offset, for cel__section_end(). */
size_t cel__section_begin(cel__buf *buf, cel_section_tag tag);
void cel__section_end(cel__buf *buf, size_t start);

/* Adds a MESSAGE section. */
void cel__section_add_message(cel__buf *buf, const cel_message *message);

/* ---- reading ---- */
typedef struct cel_frame {
    cel_frame_type type;
    uint8_t flags;
    uint64_t request_id;
    cel_view sections;
} cel_frame;

/* Looks for a whole frame at the beginning of `bytes`. Returns its length, 0 if it is not all
 * there yet, or -1 if the bytes are no frame (too long, or shorter than its head). Views point
 * into bytes. An unknown type is not an error here. *out is written only for a whole frame. */
int64_t cel__frame_read(cel_frame *out, cel_view bytes);

/* Returns the length that the frame at the beginning of `bytes` will have once it is all there:
 * 0 if even its head is missing, or -1 as above. For readers that make room before. */
int64_t cel__frame_need(cel_view bytes);

/* Walks sections: gives the next one and advances *rest; false at the end, or where the rest is
 * malformed (then rest->ptr is NULL). */
bool cel__section_next(cel_view *rest, cel_section_tag *tag, cel_view *bytes);

/* Whether all sections are well-formed (those nested in them are not looked at). */
bool cel__sections_valid(cel_view sections);

/* Returns a view of the first section with the tag, absent if there is none. */
cel_view cel__section_find(cel_view sections, cel_section_tag tag);

/* Reads an int section; false if it has not 8 bytes. */
bool cel__section_int(cel_view bytes, int64_t *value);

/* Reads a MESSAGE section; views into bytes and scratch, which the caller keeps both.
 * CEL_EPROTO. */
cel_code
cel__section_message(cel_message *out, cel_view bytes, cel__buf *scratch, cel_error *err);

#endif
