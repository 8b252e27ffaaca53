/* Requests of CPU latency (Documentation/power/pm_qos_interface.rst):
 * microseconds written to a device, which hold until it is closed. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "os/os.h"

#define DEVICE      "/dev/cpu_dma_latency"
#define IDLE_DRIVER "/sys/devices/system/cpu/cpuidle/current_driver"

/* PM_QOS_CPU_LATENCY_DEFAULT_VALUE of <linux/pm_qos.h>: any. */
#define ANY_US INT32_C(2000000000)

/* The first idle states of processors leave as quickly, and still save most of
 * the power. */
#define SHALLOW_US INT32_C(20)

/* A guest's processor that idles is given to others by the host and comes back
 * when the host likes; this driver then waits awake, if asked for no latency at
 * all (drivers/cpuidle/governors/haltpoll.c). */
static bool
idles_on_a_host(void)
{
    char driver[32];
    ssize_t bytes = -1;
    int fd = open(IDLE_DRIVER, O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        bytes = read(fd, driver, sizeof driver - 1);
        close(fd);
    }
    driver[bytes > 0 ? bytes : 0] = '\0';
    return strncmp(driver, "haltpoll", strlen("haltpoll")) == 0;
}

void
nsp_cpu_latency_open(struct nsp_cpu_latency *ret)
{
    *ret = (struct nsp_cpu_latency){
        .fd = open(DEVICE, O_WRONLY | O_CLOEXEC),
        .prompt_us = idles_on_a_host() ? 0 : SHALLOW_US,
    };
}

void
nsp_cpu_latency_close(struct nsp_cpu_latency *latency)
{
    if (latency->fd >= 0)
        close(latency->fd);
    latency->fd = -1;
}

void
nsp_cpu_latency_set(const struct nsp_cpu_latency *latency, bool prompt)
{
    int32_t us = prompt ? latency->prompt_us : ANY_US;

    /* The device takes any number. */
    if (latency->fd >= 0)
        (void)!write(latency->fd, &us, sizeof us);
}
