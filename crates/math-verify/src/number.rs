//! Numerals and exact arithmetic of bounded size.

use crate::budget::{Budget, TooLarge};
use crate::expr::{Expr, Function, Written};
use num_bigint::BigInt;
use num_integer::Integer;
use num_rational::BigRational;
use num_traits::{One, Pow, Signed, ToPrimitive, Zero};

/// Bits of a numerator or a denominator. 2006! has 19,000.
const MAX_BITS: u64 = 20_000;
/// Factorials up to this are computed.
const MAX_FACTORIAL: u64 = 2_500;

/// The value of a literal: digits, an optional fraction, an optional exponent behind `E`.
pub(crate) fn literal(text: &str) -> Option<Expr> {
    if let Some((start, repeated)) = text.split_once("\\overline{") {
        return repeating(start, repeated.strip_suffix('}')?);
    }
    let (mantissa, exponent) = match text.split_once(['E', 'e']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = whole.len() + fraction.len();
    if digits > 2_000 || exponent.abs() > 400 {
        return None;
    }
    let all = BigInt::parse_bytes(format!("{whole}{fraction}").as_bytes(), 10)?;
    let shift = exponent - fraction.len() as i32;
    let scale = BigInt::from(10).pow(shift.unsigned_abs());
    let value = if shift < 0 { BigRational::new(all, scale) } else { BigRational::from_integer(all * scale) };
    let written = if mantissa.contains('.') || exponent < 0 { Written::Decimal } else { Written::Exact };
    Some(Expr::Number { value, written })
}

/// `0.1\overline{6}`: (16 - 1) / 90.
fn repeating(start: &str, repeated: &str) -> Option<Expr> {
    let (whole, fraction) = start.split_once('.')?;
    if whole.len() + fraction.len() + repeated.len() > 200 {
        return None;
    }
    let digits = |text: String| BigInt::parse_bytes(text.as_bytes(), 10);
    let all = digits(format!("{whole}{fraction}{repeated}"))?;
    let fixed = digits(format!("0{whole}{fraction}"))?;
    let nines = BigInt::from(10).pow(repeated.len() as u32) - 1;
    Some(Expr::exact(BigRational::new(all - fixed, nines * BigInt::from(10).pow(fraction.len() as u32))))
}

/// A text that is one number with thousands separators, `1,234.5`, or with those of India, `12,34,567`. Two groups of
/// three, `100,200`, are two numbers unless the second is a round thousand; a currency sign makes one of them.
pub(crate) fn grouped(text: &str) -> Option<Expr> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text),
    };
    let digits = digits.trim_start_matches("{}");
    // `\$1,234.50`: the currency sign of LaTeX.
    let (priced, digits) = match digits.strip_prefix("\\$") {
        Some(rest) => (true, rest.trim_start()),
        None => (false, digits),
    };
    if !digits.contains(',') || !digits.starts_with(|c: char| ('1'..='9').contains(&c)) {
        return None;
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let groups: Vec<&str> = whole.split(',').collect();
    let (first, middle, last) = match groups.as_slice() {
        [first, middle @ .., last] => (*first, middle, *last),
        _ => return None,
    };
    let is_group = |group: &str, sizes: std::ops::RangeInclusive<usize>| {
        sizes.contains(&group.len()) && group.bytes().all(|b| b.is_ascii_digit())
    };
    let western = is_group(first, 1..=3) && middle.iter().all(|group| is_group(group, 3..=3));
    let indian =
        !middle.is_empty() && is_group(first, 1..=2) && middle.iter().all(|group| is_group(group, 2..=2));
    let two_numbers =
        groups.len() == 2 && first.len() == 3 && last != "000" && fraction.is_empty() && !priced;
    if !(western || indian)
        || !is_group(last, 3..=3)
        || two_numbers
        || !fraction.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let value = literal(&digits.replace(',', ""))?;
    Some(if negative { Expr::Negative(Box::new(value)) } else { value })
}

/// `1,234 dollars` without the separators of its number: what stands behind it makes it one.
pub(crate) fn grouped_with_unit(text: &str) -> Option<String> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, ',' | '.' | '-')))?;
    let (number, behind) = text.split_at(end);
    let unit = behind.trim_start_matches([' ', '~']);
    let is_unit = unit.starts_with(|c: char| c.is_alphabetic() || matches!(c, '\u{b0}' | '%'))
        || ["\\text{", "\\mathrm{", "\\textrm{", "\\mbox{", "\\%", "\\,", "\\ "]
            .iter()
            .any(|command| unit.starts_with(command));
    // A second comma makes a list of the whole.
    let is_one = is_unit && !behind.contains(',');
    (is_one && grouped(number).is_some()).then(|| format!("{}{behind}", number.replace(',', "")))
}

/// `1 1/2` as LaTeX writes it.
pub(crate) fn mixed(text: &str) -> Option<String> {
    let (whole, fraction) = text.trim().split_once(' ')?;
    let (above, below) = fraction.trim().split_once('/')?;
    let is_natural = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let parts = [whole.strip_prefix('-').unwrap_or(whole), above, below];
    parts.into_iter().all(is_natural).then(|| format!("{whole}\\frac{{{above}}}{{{below}}}"))
}

/// The two parts of `12,5`, glued by its comma.
fn comma(text: &str) -> Option<(bool, &str, &str)> {
    let text = text.trim();
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once(',')?;
    let is_digits =
        |part: &str| !part.is_empty() && part.len() < 20 && part.bytes().all(|b| b.is_ascii_digit());
    (is_digits(whole) && is_digits(fraction)).then_some((negative, whole, fraction))
}

/// `12,5` as a decimal.
pub(crate) fn decimal_comma(text: &str) -> Option<Expr> {
    let (negative, whole, fraction) = comma(text)?;
    let value = literal(&format!("{whole}.{fraction}"))?;
    Some(if negative { Expr::Negative(Box::new(value)) } else { value })
}

/// `124,609` as one number.
pub(crate) fn thousands(text: &str) -> Option<Expr> {
    let (negative, whole, rest) = comma(text)?;
    if rest.len() != 3 || whole.len() > 3 || whole.starts_with('0') {
        return None;
    }
    let value = literal(&format!("{whole}{rest}"))?;
    Some(if negative { Expr::Negative(Box::new(value)) } else { value })
}

/// `12,5` as two numbers.
pub(crate) fn comma_list(text: &str) -> Option<Expr> {
    let (negative, whole, fraction) = comma(text)?;
    let first = literal(whole)?;
    let first = if negative { Expr::Negative(Box::new(first)) } else { first };
    Some(Expr::List(vec![first, literal(fraction)?]))
}

/// Whether it is small enough to go on with; charges for the work that it took.
fn bounded(value: BigRational, budget: &Budget) -> Result<BigRational, TooLarge> {
    let bits = value.numer().bits().max(value.denom().bits());
    budget.spend(1 + bits * bits / 400_000)?;
    if bits > MAX_BITS { Err(TooLarge) } else { Ok(value) }
}

/// The exact rational value of an expression, `None` when it has none that is found by arithmetic alone.
pub(crate) fn exact(expr: &Expr, budget: &Budget) -> Result<Option<BigRational>, TooLarge> {
    Ok(match expr {
        Expr::Number { value, .. } => Some(value.clone()),
        Expr::Percent(inner) => exact(inner, budget)?.map(|v| v / BigInt::from(100)),
        Expr::Degrees(inner) | Expr::Quantity(inner, _) => exact(inner, budget)?,
        Expr::Negative(inner) => exact(inner, budget)?.map(|value| -value),
        Expr::Sum(parts) => fold(parts, BigRational::zero(), budget, |a, b| a + b)?,
        Expr::Product(parts) => fold(parts, BigRational::one(), budget, |a, b| a * b)?,
        Expr::Quotient(a, b) => match (exact(a, budget)?, exact(b, budget)?) {
            (Some(a), Some(b)) if !b.is_zero() => Some(bounded(a / b, budget)?),
            _ => None,
        },
        Expr::Power(base, exponent) => match (exact(base, budget)?, exact(exponent, budget)?) {
            (Some(base), Some(exponent)) => power(&base, &exponent, budget)?,
            _ => None,
        },
        Expr::Call(function, parts) => {
            let mut arguments = Vec::with_capacity(parts.len());
            for part in parts {
                match exact(part, budget)? {
                    Some(value) => arguments.push(value),
                    None => return Ok(None),
                }
            }
            call(*function, &arguments, budget)?
        }
        _ => None,
    })
}

fn fold(
    parts: &[Expr],
    start: BigRational,
    budget: &Budget,
    combine: impl Fn(BigRational, BigRational) -> BigRational,
) -> Result<Option<BigRational>, TooLarge> {
    let mut total = start;
    for part in parts {
        match exact(part, budget)? {
            Some(value) => total = bounded(combine(total, value), budget)?,
            None => return Ok(None),
        }
    }
    Ok(Some(total))
}

/// A rational power that is rational: integer exponents, and exact roots. The root of a negative number is real
/// where the root's degree is odd.
pub(crate) fn power(
    base: &BigRational,
    exponent: &BigRational,
    budget: &Budget,
) -> Result<Option<BigRational>, TooLarge> {
    if base.is_zero() {
        return Ok(exponent.is_positive().then(BigRational::zero));
    }
    if exponent.is_zero() || base.is_one() {
        return Ok(Some(BigRational::one()));
    }
    let (Some(degree), Some(times)) = (exponent.denom().to_u32(), exponent.numer().abs().to_u64()) else {
        return if (base.abs()).is_one() && exponent.is_integer() {
            let even = exponent.numer().is_even();
            Ok(Some(if even { BigRational::one() } else { base.clone() }))
        } else {
            Err(TooLarge)
        };
    };
    let Some(rooted) = root(base, degree, budget)? else { return Ok(None) };
    let bits = rooted.numer().bits().max(rooted.denom().bits()).saturating_sub(1);
    if bits.saturating_mul(times) > MAX_BITS {
        return Err(TooLarge);
    }
    let times = if rooted.abs().is_one() { times % 2 } else { times };
    let size = bits * times;
    budget.spend(1 + size * size / 400_000)?;
    let raised = Pow::pow(&rooted, times as u32);
    Ok(Some(if exponent.is_negative() { raised.recip() } else { raised }))
}

fn root(value: &BigRational, degree: u32, budget: &Budget) -> Result<Option<BigRational>, TooLarge> {
    if degree == 1 {
        return Ok(Some(value.clone()));
    }
    let bits = value.numer().bits().max(value.denom().bits());
    if degree > 64 || bits > 4_096 || (value.is_negative() && degree.is_multiple_of(2)) {
        return Ok(None);
    }
    budget.spend(2 + bits / 32)?;
    let exact_root = |n: &BigInt| {
        let root = n.nth_root(degree);
        (Pow::pow(&root, degree) == *n).then_some(root)
    };
    Ok(exact_root(value.numer()).zip(exact_root(value.denom())).map(|(n, d)| BigRational::new(n, d)))
}

fn call(
    function: Function,
    arguments: &[BigRational],
    budget: &Budget,
) -> Result<Option<BigRational>, TooLarge> {
    let integers =
        || arguments.iter().map(|v| v.is_integer().then(|| v.to_integer())).collect::<Option<Vec<_>>>();
    Ok(match (function, arguments) {
        (Function::Abs, [value]) => Some(value.abs()),
        (Function::Floor, [value]) => Some(value.floor()),
        (Function::Ceil, [value]) => Some(value.ceil()),
        (Function::Root, [value, degree]) if !degree.is_zero() => power(value, &degree.recip(), budget)?,
        (Function::Max, values) => values.iter().max().cloned(),
        (Function::Min, values) => values.iter().min().cloned(),
        (Function::Exp, [value]) if value.is_zero() => Some(BigRational::one()),
        (Function::Sin | Function::Tan | Function::Sinh | Function::Tanh | Function::Arctan, [value])
            if value.is_zero() =>
        {
            Some(BigRational::zero())
        }
        (Function::Cos | Function::Cosh, [value]) if value.is_zero() => Some(BigRational::one()),
        (Function::Log, [value, base]) => logarithm(value, base),
        (Function::Gcd, _) => {
            integers().and_then(|v| v.into_iter().reduce(|a, b| a.gcd(&b))).map(BigRational::from_integer)
        }
        (Function::Lcm, _) => match integers() {
            Some(values) => {
                let mut total = BigRational::one();
                for value in values {
                    total = bounded(BigRational::from_integer(total.to_integer().lcm(&value)), budget)?;
                }
                Some(total)
            }
            None => None,
        },
        (Function::Factorial, [value]) => match natural(value) {
            Some(n) if n <= MAX_FACTORIAL => {
                budget.spend(1 + n * n / 4_000)?;
                Some(BigRational::from_integer(
                    (1..=n).fold(BigInt::one(), |product, factor| product * factor),
                ))
            }
            Some(_) => return Err(TooLarge),
            None => None,
        },
        (Function::Binomial, [n, k]) => match (natural(n), natural(k)) {
            (Some(n), Some(k)) if k <= n => {
                let k = k.min(n - k);
                if k > 1_000 || n > 1_000_000 {
                    return Err(TooLarge);
                }
                budget.spend(1 + k * k / 1_000)?;
                let product = (0..k).fold(BigInt::one(), |product, i| product * (n - i) / (i + 1));
                Some(BigRational::from_integer(product))
            }
            (Some(_), Some(_)) => Some(BigRational::zero()),
            _ => None,
        },
        _ => None,
    })
}

/// log of a power of the base: `\log_2 8` is 3, `\log_8 2` is 1/3.
fn logarithm(value: &BigRational, base: &BigRational) -> Option<BigRational> {
    if value.is_one() {
        return Some(BigRational::zero());
    }
    if !value.is_positive() || !base.is_positive() || base.is_one() || value.numer().bits() > 512 {
        return None;
    }
    let counted = |value: &BigRational, base: &BigRational| {
        let mut power = base.clone();
        for exponent in 1..=64_i64 {
            if power == *value {
                return Some(exponent);
            }
            if power.recip() == *value {
                return Some(-exponent);
            }
            if power.numer().bits().max(power.denom().bits()) > 600 {
                return None;
            }
            power *= base;
        }
        None
    };
    let whole = |n: i64| BigRational::from_integer(BigInt::from(n));
    counted(value, base).map(whole).or_else(|| counted(base, value).map(|n| whole(n).recip()))
}

fn natural(value: &BigRational) -> Option<u64> {
    if value.is_integer() && !value.is_negative() { value.numer().to_u64().or(Some(u64::MAX)) } else { None }
}
