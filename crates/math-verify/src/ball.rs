//! Real numbers with a proven error: fixed-point, with a bound on the distance to the true value. A difference
//! whose interval excludes zero is not zero; that is a proof, not a tolerance.

use num_bigint::{BigInt, Sign};
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};
use std::sync::OnceLock;

/// Bits behind the point: 96 decimal digits.
const BITS: u64 = 320;
/// Additional bits inside of series.
const GUARD: u64 = 64;
/// Magnitudes beyond 2^160 or below 2^-120 are not judged.
const LARGE: u64 = 160;
const SMALL: u64 = 120;
/// Two values are one when their difference is below 2^-180 (54 digits) and cannot be told from zero.
const ZERO: i32 = 180;
/// More than the rounding of f64 can lose in one operation on an error.
const UP: f64 = 1.000_000_1;

/// `mantissa / 2^BITS`, off by at most `error / 2^BITS`.
#[derive(Clone, Debug)]
pub(crate) struct Ball {
    mantissa: BigInt,
    error: f64,
}

/// Where a ball lies beside zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AboutZero {
    Positive,
    Negative,
    /// Nearer to zero than 54 digits can tell.
    Zero,
    /// Around zero, but known too badly.
    Unclear,
}

/// Undefined, or outside of the magnitudes that are judged, is `None`.
impl Ball {
    fn new(mantissa: BigInt, error: f64) -> Option<Self> {
        (mantissa.bits() <= BITS + LARGE && error.is_finite()).then_some(Self { mantissa, error })
    }

    pub(crate) fn rational(value: &BigRational) -> Option<Self> {
        if value.is_zero() {
            return Self::new(BigInt::zero(), 0.0);
        }
        let mantissa: BigInt = (value.numer() << BITS).div_floor(value.denom());
        // A value that vanishes beside another would make different numbers look equal.
        if mantissa.bits() < BITS - SMALL {
            return None;
        }
        let error = if value.denom().is_one() { 0.0 } else { 1.0 };
        Self::new(mantissa, error)
    }

    pub(crate) fn integer(value: i64) -> Self {
        Self { mantissa: BigInt::from(value) << BITS, error: 0.0 }
    }

    fn size(&self) -> f64 {
        self.mantissa.to_f64().map_or(f64::INFINITY, f64::abs) * UP
    }

    fn unit() -> f64 {
        2_f64.powi(-(BITS as i32))
    }

    pub(crate) fn about_zero(&self) -> AboutZero {
        let size = self.mantissa.to_f64().map_or(0.0, f64::abs) / UP;
        if size > self.error {
            return if self.mantissa.sign() == Sign::Minus {
                AboutZero::Negative
            } else {
                AboutZero::Positive
            };
        }
        if self.error < 2_f64.powi(BITS as i32 - ZERO) { AboutZero::Zero } else { AboutZero::Unclear }
    }

    fn is_nonzero(&self) -> bool {
        matches!(self.about_zero(), AboutZero::Positive | AboutZero::Negative)
    }

    pub(crate) fn negate(&self) -> Self {
        Self { mantissa: -&self.mantissa, error: self.error }
    }

    pub(crate) fn add(&self, other: &Self) -> Option<Self> {
        Self::new(&self.mantissa + &other.mantissa, (self.error + other.error) * UP)
    }

    pub(crate) fn subtract(&self, other: &Self) -> Option<Self> {
        self.add(&other.negate())
    }

    pub(crate) fn multiply(&self, other: &Self) -> Option<Self> {
        let mantissa: BigInt = (&self.mantissa * &other.mantissa) >> BITS;
        let cross = self.size() * other.error + other.size() * self.error + self.error * other.error;
        let product = Self::new(mantissa, (cross * Self::unit() + 1.0) * UP)?;
        product.not_vanished(self.is_nonzero() && other.is_nonzero())
    }

    pub(crate) fn divide(&self, other: &Self) -> Option<Self> {
        if !other.is_nonzero() {
            return None;
        }
        let below = other.size() / UP / UP - other.error;
        if below <= 0.0 {
            return None;
        }
        let mantissa: BigInt = (&self.mantissa << BITS).div_floor(&other.mantissa);
        let quotient = mantissa.to_f64()?.abs();
        let error = (self.error / Self::unit() + quotient * other.error) / below + 1.0;
        Self::new(mantissa, error * UP * UP)?.not_vanished(self.is_nonzero())
    }

    /// `None` for a result that is known not to be zero and yet too small to be told from it.
    fn not_vanished(self, nonzero: bool) -> Option<Self> {
        (!nonzero || self.mantissa.bits() >= BITS - SMALL).then_some(self)
    }

    pub(crate) fn is_negative(&self) -> bool {
        self.mantissa.is_negative()
    }

    pub(crate) fn absolute(&self) -> Self {
        Self { mantissa: self.mantissa.abs(), error: self.error }
    }

    /// The square root of a value that is not provably negative.
    pub(crate) fn square_root(&self) -> Option<Self> {
        match self.about_zero() {
            AboutZero::Negative | AboutZero::Unclear => None,
            AboutZero::Zero => {
                // Somewhere in [0, sqrt(2 error)].
                let bound = (2.0 * self.error / Self::unit()).sqrt() * UP + 1.0;
                Self::new(BigInt::zero(), if self.error == 0.0 { 0.0 } else { bound })
            }
            AboutZero::Positive => {
                let mantissa = (&self.mantissa << BITS).sqrt();
                let low = (self.size() / UP / UP - self.error) * Self::unit();
                (low > 0.0).then_some(())?;
                Self::new(mantissa, (self.error / (2.0 * low.sqrt()) + 1.0) * UP)
            }
        }
    }

    /// The natural logarithm of a provably positive value.
    pub(crate) fn logarithm(&self) -> Option<Self> {
        if self.about_zero() != AboutZero::Positive {
            return None;
        }
        let low = self.size() / UP / UP - self.error;
        (low > 0.0).then_some(())?;
        // self = 2^shift * y with y in [1/2, 1); ln y = 2 atanh((y - 1) / (y + 1)).
        let shift = self.mantissa.bits() as i64 - BITS as i64;
        let work = BITS + GUARD;
        let scaled = &self.mantissa << GUARD;
        let y: BigInt = if shift > 0 { scaled >> shift as u64 } else { scaled << shift.unsigned_abs() };
        let one = BigInt::one() << work;
        let ratio: BigInt = ((&y - &one) << work) / (&y + &one);
        let square: BigInt = (&ratio * &ratio) >> work;
        let mut power = ratio;
        let mut sum = BigInt::zero();
        let mut n = 1_u32;
        while !power.is_zero() && n < 1_000 {
            sum += &power / n;
            power = (power * &square) >> work;
            n += 2;
        }
        let total = (sum << 1) + ln_two() * shift;
        Self::new(total >> GUARD, (self.error / low / Self::unit() + 2.0) * UP)
    }

    /// e to this power.
    pub(crate) fn exponential(&self) -> Option<Self> {
        // Beyond this the result is too large or too small to be judged, and the error's derivative with it.
        if self.mantissa.bits() > BITS + 7 || self.error * Self::unit() > 1e-3 {
            return None;
        }
        let work = BITS + GUARD;
        let x = &self.mantissa << GUARD;
        let times = x.div_floor(ln_two());
        let rest = x - &times * ln_two();
        // rest in [0, ln 2); halve it eight times, then square the sum back.
        let small: BigInt = rest >> 8;
        let mut term = BigInt::one() << work;
        let mut sum = term.clone();
        let mut n = 1_u32;
        while !term.is_zero() && n < 500 {
            term = ((term * &small) >> work) / n;
            sum += &term;
            n += 1;
        }
        for _ in 0..8 {
            sum = (&sum * &sum) >> work;
        }
        let shift = times.to_i64()?;
        let mantissa: BigInt = if shift >= 0 { sum << shift as u64 } else { sum >> shift.unsigned_abs() };
        let result: BigInt = mantissa >> GUARD;
        if result.bits() < BITS - SMALL {
            return None;
        }
        // Squaring loses 8 + 6 of the guard bits; they are 2^shift of the result's size.
        let size = result.to_f64()? * UP;
        let error = size * self.error * Self::unit() * 1.01 + size * Self::unit() * 2_f64.powi(-40) + 1.0;
        Self::new(result, error * UP)
    }

    /// Sine and cosine.
    pub(crate) fn sine_cosine(&self) -> Option<(Self, Self)> {
        if self.mantissa.bits() > BITS + 32 {
            return None;
        }
        let work = BITS + GUARD;
        let half_pi: BigInt = pi_bits() >> 1;
        let x = &self.mantissa << GUARD;
        let quarter: BigInt = &half_pi >> 1;
        let times = (&x + quarter).div_floor(&half_pi);
        let rest: BigInt = x - &times * &half_pi; // within a quarter of pi
        let square: BigInt = (&rest * &rest) >> work;
        let series = |start: BigInt, first: u32| {
            let mut term = start;
            let mut sum = term.clone();
            let mut n = first;
            while !term.is_zero() && n < 300 {
                term = -(((term * &square) >> work) / (n * (n + 1)));
                sum += &term;
                n += 2;
            }
            sum
        };
        let sine = series(rest, 2);
        let cosine = series(BigInt::one() << work, 1);
        let (sine, cosine) = match times.mod_floor(&BigInt::from(4)).to_u8()? {
            0 => (sine, cosine),
            1 => (cosine, -sine),
            2 => (-sine, -cosine),
            _ => (-cosine, sine),
        };
        let ball = |value: BigInt| Self::new(value >> GUARD, (self.error + 2.0) * UP);
        Some((ball(sine)?, ball(cosine)?))
    }

    pub(crate) fn arctangent(&self) -> Option<Self> {
        // Halve the angle three times: atan x = 2 atan(x / (1 + sqrt(1 + x^2))).
        let mut x = self.clone();
        for _ in 0..3 {
            let root = Self::integer(1).add(&x.multiply(&x)?)?.square_root()?;
            x = x.divide(&Self::integer(1).add(&root)?)?;
        }
        let work = BITS + GUARD;
        let value = &x.mantissa << GUARD;
        let square: BigInt = (&value * &value) >> work;
        let mut power = value;
        let mut sum = BigInt::zero();
        let mut n = 1_u32;
        while !power.is_zero() && n < 1_000 {
            sum += &power / n;
            power = -((power * &square) >> work);
            n += 2;
        }
        Self::new(sum >> (GUARD - 3), (x.error + 1.0) * 8.0 * UP + 8.0)
    }

    /// Largest integer below it, where the ball does not contain an integer.
    pub(crate) fn floor(&self) -> Option<Self> {
        let one: BigInt = BigInt::one() << BITS;
        let (whole, rest) = self.mantissa.div_mod_floor(&one);
        let margin = rest.to_f64()?.min((&one - &rest).to_f64()?);
        (margin > self.error * UP + 1.0).then(|| Self { mantissa: whole << BITS, error: 0.0 })
    }

    /// The middle of the ball, as a fraction.
    pub(crate) fn middle(&self) -> BigRational {
        BigRational::new(self.mantissa.clone(), BigInt::one() << BITS)
    }

    pub(crate) fn pi() -> Self {
        Self { mantissa: pi_bits() >> GUARD, error: 2.0 }
    }

    /// The value as a multiple of 10^-6, rounded half away from zero.
    pub(crate) fn micros(&self) -> Option<BigInt> {
        let scaled: BigInt = &self.mantissa * 1_000_000_u32;
        let half: BigInt = BigInt::one() << (BITS - 1);
        (self.error < 2_f64.powi(BITS as i32 - 60)).then_some(())?;
        let rounded: BigInt = (scaled.abs() + half) >> BITS;
        Some(if scaled.is_negative() { -rounded } else { rounded })
    }
}

/// ln 2 in `BITS + GUARD` bits, by ln 2 = sum of 2 / (2k+1) / 3^(2k+1).
fn ln_two() -> &'static BigInt {
    static VALUE: OnceLock<BigInt> = OnceLock::new();
    VALUE.get_or_init(|| {
        let extra = 32_u64;
        let mut power: BigInt = (BigInt::one() << (BITS + GUARD + extra)) / 3;
        let mut sum = BigInt::zero();
        let mut n = 1_u32;
        while !power.is_zero() {
            sum += &power / n;
            power /= 9;
            n += 2;
        }
        sum >> (extra - 1)
    })
}

/// pi in `BITS + GUARD` bits, by Machin's 16 atan(1/5) - 4 atan(1/239).
fn pi_bits() -> &'static BigInt {
    static VALUE: OnceLock<BigInt> = OnceLock::new();
    VALUE.get_or_init(|| {
        let extra = 32_u64;
        let arctangent = |inverse: u32| {
            let mut power: BigInt = (BigInt::one() << (BITS + GUARD + extra)) / inverse;
            let mut sum = BigInt::zero();
            let mut n = 1_u32;
            while !power.is_zero() {
                sum += &power / n;
                power = -(power / (inverse * inverse));
                n += 2;
            }
            sum
        };
        let value: BigInt = arctangent(5) * 16 - arctangent(239) * 4;
        value >> extra
    })
}
