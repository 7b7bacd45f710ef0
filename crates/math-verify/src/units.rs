//! Units of measure behind a value: which words are units, what they measure, and how they convert. Where one answer
//! has a unit and the other has none the question has fixed it; where both have one they are converted, or differ.

mod read;
mod table;

pub(crate) use read::{Reading, is_unit, read};
pub(crate) use table::scale;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::One;
use table::{Class, Dimensions};

/// A product of powers of units, in the order in which they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Unit(Vec<(Part, i8)>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    /// One of the vocabulary, by its first name.
    Known(&'static str),
    /// The plural of a noun that is in no vocabulary: what is counted, singular.
    Noun(String),
}

/// What a unit is worth: dimensions, the factor to the coherent unit, and what is not converted.
struct Measured<'a> {
    dimensions: Dimensions,
    factor: BigRational,
    own: Vec<(&'a str, i8)>,
    generic: bool,
}

/// The number before a unit that takes the rest of the text.
pub(crate) fn value(text: &str) -> Option<&str> {
    let is_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | '-' | '+' | '$');
    let end = text.find(|c: char| !is_number(c)).unwrap_or(text.len());
    let number = &text[..end];
    if !number.ends_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let rest = text[end..].trim();
    // Behind a number and at the end of the text a letter is a unit, as if it were upright.
    let rest = rest.trim_end_matches(['.', '!', '?']);
    if rest.is_empty()
        || (rest.len() == 1 && !"mgshLNJWVKCF".contains(rest))
        || rest.contains(['{', '}', '\\'])
    {
        return None;
    }
    let upright = format!("\\text{{{rest}}}");
    let reading = read(&upright)?;
    (reading.scale == 1 && reading.length == upright.len()).then_some(number)
}

impl Unit {
    /// One of the vocabulary by its first name.
    pub(crate) fn named(name: &'static str) -> Self {
        Self(vec![(Part::Known(name), 1)])
    }

    /// The unit of temperature behind a degree sign.
    pub(crate) fn temperature(letter: char) -> Option<Self> {
        let name = match letter {
            'C' => "celsius",
            'F' => "fahrenheit",
            _ => return None,
        };
        Some(Self(vec![(Part::Known(name), 1)]))
    }

    /// How many of the other make one of this; `None` where they measure different things.
    pub(crate) fn in_terms_of(&self, other: &Self) -> Option<BigRational> {
        if self == other {
            return Some(BigRational::one());
        }
        let (a, b) = (self.measured(), other.measured());
        let counts = |m: &Measured<'_>| m.dimensions == [0; 6] && m.own.len() <= 1;
        if (a.generic && counts(&b)) || (b.generic && counts(&a)) {
            return Some(BigRational::one());
        }
        (a.dimensions == b.dimensions && a.own == b.own && a.generic == b.generic)
            .then(|| a.factor / b.factor)
    }

    fn measured(&self) -> Measured<'_> {
        let mut measured =
            Measured { dimensions: [0; 6], factor: BigRational::one(), own: Vec::new(), generic: false };
        for (part, exponent) in &self.0 {
            let known = match part {
                Part::Known(name) => table::known(name),
                Part::Noun(name) => {
                    measured.own.push((name, *exponent));
                    continue;
                }
            };
            let Some(known) = known else { continue };
            match known.class {
                Class::Measure(dimensions, (above, below)) => {
                    for (total, one) in measured.dimensions.iter_mut().zip(dimensions) {
                        *total = total.saturating_add(one.saturating_mul(*exponent));
                    }
                    let mut one = BigRational::new(BigInt::from(above), BigInt::from(below));
                    if table::ELECTRONVOLT.contains(&known.name) {
                        one /= BigInt::from(10).pow(18);
                    }
                    for _ in 0..exponent.unsigned_abs().min(12) {
                        if *exponent > 0 { measured.factor *= &one } else { measured.factor /= &one }
                    }
                }
                Class::Own | Class::Count => measured.own.push((known.name, *exponent)),
                Class::Generic => measured.generic = true,
            }
        }
        measured.own.sort_unstable();
        measured
    }
}
