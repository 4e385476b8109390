/* clock.h - the time, given to whoever needs it, so that tests can turn it. Any thread. */
#ifndef CEL_CORE_CLOCK_H
#define CEL_CORE_CLOCK_H

#include <stdint.h>

#define CEL_MAX_MS ((int64_t)1 << 53) /* no time or duration is larger */

typedef struct cel_clock cel_clock;
struct cel_clock {
    int64_t (*mono_ms)(const cel_clock *clock); /* for waiting; never goes back */
    int64_t (*wall_us)(const cel_clock *clock); /* microseconds since 1970-01-01 UTC */
};

/* Returns a view of the machine's clock. */
const cel_clock *cel__clock_system(void);

static inline int64_t cel__clock_mono_ms(const cel_clock *clock)
{
    return clock->mono_ms(clock);
}

static inline int64_t cel__clock_wall_us(const cel_clock *clock)
{
    return clock->wall_us(clock);
}

static inline int64_t cel__clock_wall_ms(const cel_clock *clock)
{
    return clock->wall_us(clock) / 1000;
}

#endif
