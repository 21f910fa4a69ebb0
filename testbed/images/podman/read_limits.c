/*
 * Lets CRIU read the resource limits of any process where CAP_SYS_RESOURCE is missing.
 *
 * prlimit(2) tells the limits of another user's process only with that capability, which the host of
 * this container may not have to give. /proc/PID/limits tells the same to everybody. CRIU makes the
 * system call through syscall(3), which this library stands in front of (LD_PRELOAD).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>

/* How /proc/PID/limits names each limit, by its number (proc_pid_limits(5), getrlimit(2)). */
static const char *const names[RLIM_NLIMITS] = {
    [RLIMIT_CPU] = "Max cpu time",
    [RLIMIT_FSIZE] = "Max file size",
    [RLIMIT_DATA] = "Max data size",
    [RLIMIT_STACK] = "Max stack size",
    [RLIMIT_CORE] = "Max core file size",
    [RLIMIT_RSS] = "Max resident set",
    [RLIMIT_NPROC] = "Max processes",
    [RLIMIT_NOFILE] = "Max open files",
    [RLIMIT_MEMLOCK] = "Max locked memory",
    [RLIMIT_AS] = "Max address space",
    [RLIMIT_LOCKS] = "Max file locks",
    [RLIMIT_SIGPENDING] = "Max pending signals",
    [RLIMIT_MSGQUEUE] = "Max msgqueue size",
    [RLIMIT_NICE] = "Max nice priority",
    [RLIMIT_RTPRIO] = "Max realtime priority",
    [RLIMIT_RTTIME] = "Max realtime timeout",
};

/* A number, or "unlimited". */
static rlim64_t value(const char *text)
{
    unsigned long long number;

    return sscanf(text, "%llu", &number) == 1 ? number : RLIM64_INFINITY;
}

static int read_limit(long pid, const char *name, struct rlimit64 *limit)
{
    char line[256], soft[32], hard[32];
    int found = 0;

    snprintf(line, sizeof line, "/proc/%ld/limits", pid);
    FILE *file = fopen(line, "re");
    if (!file)
        return -1;
    while (!found && fgets(line, sizeof line, file))
        found = strncmp(line, name, strlen(name)) == 0
            && sscanf(line + strlen(name), "%31s %31s", soft, hard) == 2;
    fclose(file);
    if (!found) {
        errno = EPERM;
        return -1;
    }
    limit->rlim_cur = value(soft);
    limit->rlim_max = value(hard);
    return 0;
}

long syscall(long number, ...)
{
    long (*next)(long, ...) = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    long given[6];
    va_list arguments;

    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        given[i] = va_arg(arguments, long);
    va_end(arguments);
    long result = next(number, given[0], given[1], given[2], given[3], given[4], given[5]);
    if (number != SYS_prlimit64 || result != -1 || errno != EPERM)
        return result;

    long pid = given[0], which = given[1];
    const void *set = (const void *)given[2];
    struct rlimit64 *get = (struct rlimit64 *)given[3];
    if (set || !get || which < 0 || which >= RLIM_NLIMITS)
        return result;
    return read_limit(pid, names[which], get);
}
