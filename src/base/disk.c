#include "disk.h"

#include "file.h"
#include "limit.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Of the nearest folder above path that is there. */
static bool find_room(const char *path, uint64_t *room) {
    struct statvfs s;
    char *at = strdup(path);
    while (at && *at && statvfs(at, &s) != 0) {
        char *slash = strrchr(at, '/');
        if (!slash)
            strcpy(at, "."); /* at least one character is there */
        else if (slash == at)
            at[1] = 0;
        else
            *slash = 0;
        if (!slash && statvfs(at, &s) != 0) break;
    }
    const bool found = at && *at && statvfs(at, &s) == 0 && s.f_blocks;
    /* What is kept for root is free to root only. */
    if (found) *room = (uint64_t)(geteuid() ? s.f_bavail : s.f_bfree) * s.f_frsize;
    free(at);
    return found;
}

/* What a killed process has left is written over. */
static uint64_t left_over(const char *path) {
    char *temp = NULL;
    if (asprintf(&temp, "%s" FILE_TEMP_SUFFIX, path) < 0) return 0;
    const uint64_t bytes = disk_size(temp);
    free(temp);
    return bytes;
}

int disk_fits(const char *path, const char *what, uint64_t bytes, uint64_t largest, struct err *e) {
    uint64_t room;
    struct rlimit r;
    struct stat st;
    if (!strcmp(path, "-") || (!stat(path, &st) && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)))
        return 0; /* a pipe or a device */
    if (!getrlimit(RLIMIT_FSIZE, &r) && r.rlim_cur != RLIM_INFINITY && largest > r.rlim_cur) {
        const int digits = mb_decimals(largest, r.rlim_cur);
        return err_set(e, ERR_IO,
                       "%s: %s needs %.*f MB, and the limit of a file's size is %.*f MB", path,
                       what, digits, in_mb(largest), digits, in_mb(r.rlim_cur));
    }
    if (!find_room(path, &room)) return 0;
    room += left_over(path);
    if (bytes <= room) return 0;
    const int digits = mb_decimals(bytes, room);
    return err_set(e, ERR_IO, "%s: %s needs %.*f MB, and %.*f MB are free on its disk", path, what,
                   digits, in_mb(bytes), digits, in_mb(room));
}

uint64_t disk_size(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}
