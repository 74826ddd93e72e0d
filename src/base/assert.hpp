// Invariant checks. A broken invariant is a defect: the program says where and aborts.
// PJ_CHECK is always on and must stay cheap; PJ_DCHECK is on with -DPJ_DCHECKS=1 (debug, relassert,
// sanitizers). Thread rule: any thread.
#pragma once

namespace perjoule::base {

[[noreturn]] void check_failed(const char* condition, const char* file, int line) noexcept;

}  // namespace perjoule::base

#define PJ_CHECK(cond) \
  ((cond) ? static_cast<void>(0) : ::perjoule::base::check_failed(#cond, __FILE__, __LINE__))

#if defined(PJ_DCHECKS) && PJ_DCHECKS
#define PJ_DCHECK(cond) PJ_CHECK(cond)
#else
#define PJ_DCHECK(cond) static_cast<void>(0)
#endif
