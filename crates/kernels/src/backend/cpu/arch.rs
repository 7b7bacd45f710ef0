//! Which instructions this process computes with: the widest vectors that the machine has. Everything that chooses asks
//! here, so that tests can choose none: Miri interprets the portable form, and `tests.rs` runs all tests again in it.

use pulp::Arch;

/// The instruction set of portable loops.
pub(crate) fn arch() -> Arch {
    if portable() { Arch::Scalar } else { Arch::new() }
}

/// `has!("avx512f", "avx512bf16")`: whether there are all of these instructions of x86.
#[cfg(target_arch = "x86_64")]
macro_rules! has {
    ($($feature:tt),+) => {
        !$crate::backend::cpu::arch::portable() $(&& std::arch::is_x86_feature_detected!($feature))+
    };
}
#[cfg(target_arch = "x86_64")]
pub(super) use has;

/// Whether to compute with the target's baseline alone.
#[cfg(not(test))]
pub(super) const fn portable() -> bool {
    cfg!(miri)
}

/// The variable that makes a process of tests compute with the target's baseline alone.
#[cfg(test)]
pub(crate) const PORTABLE: &str = "RUMINATE_TEST_PORTABLE";

/// Whether to compute with the target's baseline alone.
#[cfg(test)]
pub(crate) fn portable() -> bool {
    static ASKED: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    cfg!(miri) || *ASKED.get_or_init(|| std::env::var_os(PORTABLE).is_some())
}
