/* SANITIZED: 1 under AddressSanitizer or ThreadSanitizer (gcc says so by a macro, clang by a
 * feature), which keep memory that was freed and have allocators of their own; else 0. */
#ifndef DUET_SANITIZED_H
#define DUET_SANITIZED_H

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) ||                               \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

#endif
