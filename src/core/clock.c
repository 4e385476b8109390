/* clock.c - the machine's clock. */
#include "core/clock.h"

#include <time.h>

static int64_t read_us(clockid_t id)
{
    struct timespec now;

    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t system_mono_ms(const cel_clock *clock)
{
    (void)clock;
    return read_us(CLOCK_MONOTONIC) / 1000;
}

static int64_t system_wall_us(const cel_clock *clock)
{
    (void)clock;
    return read_us(CLOCK_REALTIME);
}

const cel_clock *cel__clock_system(void)
{
    static const cel_clock clock = {system_mono_ms, system_wall_us};

    return &clock;
}
