//! The vocabulary of units: names, dimensions and factors. Tables only; it is closed, so that a word that is none
//! never passes for one.

use std::collections::HashMap;
use std::sync::OnceLock;

/// Exponents of metre, kilogram, second, ampere, mole and bit.
pub(super) type Dimensions = [i8; 6];

const NONE: Dimensions = [0; 6];

/// What a unit measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Converted by its factor.
    Measure(Dimensions, (i64, i64)),
    /// Equal to itself alone: currencies, degrees of temperature.
    Own,
    /// Counts things of one name.
    Count,
    /// Counts whatever there is: `units`, `ways`.
    Generic,
}

/// A unit by its first name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) class: Class,
}

const LENGTH: Dimensions = [1, 0, 0, 0, 0, 0];
const AREA: Dimensions = [2, 0, 0, 0, 0, 0];
const VOLUME: Dimensions = [3, 0, 0, 0, 0, 0];
const MASS: Dimensions = [0, 1, 0, 0, 0, 0];
const TIME: Dimensions = [0, 0, 1, 0, 0, 0];
const SPEED: Dimensions = [1, 0, -1, 0, 0, 0];
const FREQUENCY: Dimensions = [0, 0, -1, 0, 0, 0];
const FORCE: Dimensions = [1, 1, -2, 0, 0, 0];
const PRESSURE: Dimensions = [-1, 1, -2, 0, 0, 0];
const ENERGY: Dimensions = [2, 1, -2, 0, 0, 0];
const POWER: Dimensions = [2, 1, -3, 0, 0, 0];
const CURRENT: Dimensions = [0, 0, 0, 1, 0, 0];
const CHARGE: Dimensions = [0, 0, 1, 1, 0, 0];
const VOLTAGE: Dimensions = [2, 1, -3, -1, 0, 0];
const RESISTANCE: Dimensions = [2, 1, -3, -2, 0, 0];
const CAPACITY: Dimensions = [-2, -1, 4, 2, 0, 0];
const FIELD: Dimensions = [0, 1, -2, -1, 0, 0];
const AMOUNT: Dimensions = [0, 0, 0, 0, 1, 0];
const DATA: Dimensions = [0, 0, 0, 0, 0, 1];

/// Measures: names, singular, the first one for all; dimensions; the factor to the coherent unit.
const MEASURES: &[(&str, Dimensions, (i64, i64))] = &[
    ("m|metre|meter|\u{7c73}", LENGTH, (1, 1)),
    ("km|kilometre|kilometer|\u{5343}\u{7c73}|\u{516c}\u{91cc}", LENGTH, (1000, 1)),
    ("dm|decimetre|decimeter|\u{5206}\u{7c73}", LENGTH, (1, 10)),
    ("cm|centimetre|centimeter|\u{5398}\u{7c73}", LENGTH, (1, 100)),
    ("mm|millimetre|millimeter|\u{6beb}\u{7c73}", LENGTH, (1, 1000)),
    ("um|micrometre|micrometer|micron", LENGTH, (1, 1_000_000)),
    ("nm|nanometre|nanometer", LENGTH, (1, 1_000_000_000)),
    ("inch|inches", LENGTH, (254, 10_000)),
    ("ft|foot|feet", LENGTH, (3048, 10_000)),
    ("yd|yard", LENGTH, (9144, 10_000)),
    ("mi|mile", LENGTH, (1_609_344, 1000)),
    ("acre", AREA, (40_468_564_224, 10_000_000)),
    ("ha|hectare|\u{516c}\u{9877}", AREA, (10_000, 1)),
    ("L|l|litre|liter|\u{5347}", VOLUME, (1, 1000)),
    ("mL|ml|millilitre|milliliter|\u{6beb}\u{5347}", VOLUME, (1, 1_000_000)),
    ("cc", VOLUME, (1, 1_000_000)),
    ("gallon|gal", VOLUME, (3_785_411_784, 1_000_000_000_000)),
    ("quart", VOLUME, (946_352_946, 1_000_000_000_000)),
    ("pint", VOLUME, (473_176_473, 1_000_000_000_000)),
    ("g|gram|\u{514b}", MASS, (1, 1000)),
    ("kg|kilogram|\u{5343}\u{514b}|\u{516c}\u{65a4}", MASS, (1, 1)),
    ("mg|milligram|\u{6beb}\u{514b}", MASS, (1, 1_000_000)),
    ("t|ton|tonne|\u{5428}", MASS, (1000, 1)),
    ("lb|lbs|pound", MASS, (45_359_237, 100_000_000)),
    ("oz|ounce", MASS, (28_349_523_125, 1_000_000_000_000)),
    ("s|sec|second|\u{79d2}", TIME, (1, 1)),
    ("ms|millisecond", TIME, (1, 1000)),
    ("us|microsecond", TIME, (1, 1_000_000)),
    ("ns|nanosecond", TIME, (1, 1_000_000_000)),
    ("min|minute|\u{5206}\u{949f}|\u{5206}\u{9418}", TIME, (60, 1)),
    ("h|hr|hour|\u{5c0f}\u{65f6}|\u{6642}\u{9593}", TIME, (3600, 1)),
    ("day|\u{5929}", TIME, (86_400, 1)),
    ("week|wk", TIME, (604_800, 1)),
    ("mph", SPEED, (1_609_344, 3_600_000)),
    ("kmh|kmph|kph", SPEED, (1000, 3600)),
    ("Hz|hertz", FREQUENCY, (1, 1)),
    ("kHz|kilohertz", FREQUENCY, (1000, 1)),
    ("MHz|megahertz", FREQUENCY, (1_000_000, 1)),
    ("GHz|gigahertz", FREQUENCY, (1_000_000_000, 1)),
    ("N|newton", FORCE, (1, 1)),
    ("kN|kilonewton", FORCE, (1000, 1)),
    ("Pa|pascal", PRESSURE, (1, 1)),
    ("kPa|kilopascal", PRESSURE, (1000, 1)),
    ("MPa|megapascal", PRESSURE, (1_000_000, 1)),
    ("atm|atmosphere", PRESSURE, (101_325, 1)),
    ("bar", PRESSURE, (100_000, 1)),
    ("J|joule", ENERGY, (1, 1)),
    ("kJ|kilojoule", ENERGY, (1000, 1)),
    ("MJ|megajoule", ENERGY, (1_000_000, 1)),
    ("cal|calorie", ENERGY, (4184, 1000)),
    ("kcal|kilocalorie", ENERGY, (4184, 1)),
    ("eV|electronvolt", ENERGY, (1_602_176_634, 10_000_000_000)),
    ("keV", ENERGY, (1_602_176_634, 10_000_000)),
    ("MeV", ENERGY, (1_602_176_634, 10_000)),
    ("kWh", ENERGY, (3_600_000, 1)),
    ("W|watt", POWER, (1, 1)),
    ("kW|kilowatt", POWER, (1000, 1)),
    ("MW|megawatt", POWER, (1_000_000, 1)),
    ("A|ampere|amp", CURRENT, (1, 1)),
    ("mA|milliampere", CURRENT, (1, 1000)),
    ("C|coulomb", CHARGE, (1, 1)),
    ("V|volt", VOLTAGE, (1, 1)),
    ("kV|kilovolt", VOLTAGE, (1000, 1)),
    ("mV|millivolt", VOLTAGE, (1, 1000)),
    ("ohm|\u{3a9}|\u{2126}", RESISTANCE, (1, 1)),
    ("F|farad", CAPACITY, (1, 1)),
    ("T|tesla", FIELD, (1, 1)),
    ("mol|mole", AMOUNT, (1, 1)),
    ("mmol", AMOUNT, (1, 1000)),
    ("bit", DATA, (1, 1)),
    ("byte", DATA, (8, 1)),
    ("KB|kB|kilobyte", DATA, (8_000, 1)),
    ("MB|megabyte", DATA, (8_000_000, 1)),
    ("GB|gigabyte", DATA, (8_000_000_000, 1)),
    ("rad|radian", NONE, (1, 1)),
];

/// Electron volts are in 10^-19 J times this.
pub(super) const ELECTRONVOLT: [&str; 3] = ["eV", "keV", "MeV"];

/// Units that nothing is converted to.
const OWN: &[&str] = &[
    "dollar|usd|USD|\u{7f8e}\u{5143}",
    "cent",
    "euro|eur|EUR",
    "pound sterling|gbp|GBP",
    "pence|penny|p",
    "yuan|rmb|RMB|CNY|\u{5143}|\u{5757}",
    "yen|JPY|\u{5186}",
    "won|KRW|\u{c6d0}",
    "rupee|rs|Rs|INR",
    "peso",
    "ruble",
    "celsius|\u{b0}C|\u{2103}|\u{6444}\u{6c0f}\u{5ea6}",
    "fahrenheit|\u{b0}F",
    "K|kelvin",
    "degree|deg|\u{5ea6}",
    "month",
    "year|yr|\u{5e74}",
    "decade",
    "century",
    "dB|decibel",
    "cup",
    "teaspoon|tsp",
    "tablespoon|tbsp",
];

/// Names that count whatever there is.
const GENERIC: &str = "unit way solution arrangement possibility combination permutation outcome choice option \
    number digit point time item piece object thing case value element pair set total place step count \
    \u{4e2a} \u{79cd} \u{500b} \u{6b21} \u{4ef6} \u{53ea} \u{540d} \u{4f4d} \u{9897} \u{6761} \u{5f20} \u{672c} \
    \u{652f} \u{68f5} \u{7ec4} \u{904d} \u{c6d0} \u{ac1c} \u{bc88} \u{d68c} \u{56de} \u{3064} \u{679a}";

/// Names of what word problems count.
const COUNTED: &str = "person people student man men woman women child children boy girl kid adult teacher friend \
    player member worker apple orange banana pear peach egg cookie cake candy pie pizza slice sandwich meal coin \
    ticket tile book marble page toy ball card box bag bottle can jar cup car bus truck train plane bike ship boat \
    house room table chair desk pen pencil crayon marker stamp sticker flower rose tree plant seed leaf dog cat \
    bird fish chicken rabbit cow horse sheep pig duck mouse mice animal game goal score vote question problem song \
    movie video photo picture shirt shoe hat dress sock ring bead button brick block cube square triangle circle \
    rectangle polygon side edge vertex vertices face angle diagonal line segment integer prime factor divisor root \
    pattern path route trip lap mile-marker floor stair row column group team class school city country state \
    letter word sentence message email call minute-hand share bill note gift present prize medal lightbulb lamp \
    key door window wheel tire battery phone computer tree-ring acorn bean carrot potato tomato onion lemon grape \
    cherry strawberry melon watermelon donut muffin cupcake brownie cracker chocolate lollipop jellybean loaf \
    loaves bread \u{4eba} \u{9053} \u{9898} \u{9875} \u{5c81} \u{bd84} \u{ba85} \u{c0b4}";

/// Units by every name that they have.
pub(super) fn known(name: &str) -> Option<Known> {
    static TABLE: OnceLock<HashMap<&'static str, Known>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let mut table = HashMap::new();
        let mut add = |names: &'static str, class: Class| {
            let mut first = None;
            for name in names.split('|') {
                let known = Known { name: first.get_or_insert(name), class };
                table.entry(name).or_insert(known);
            }
        };
        for (names, dimensions, factor) in MEASURES {
            add(names, Class::Measure(*dimensions, *factor));
        }
        for names in OWN {
            add(names, Class::Own);
        }
        for name in GENERIC.split_whitespace() {
            add(name, Class::Generic);
        }
        for name in COUNTED.split_whitespace() {
            add(name, Class::Count);
        }
        table
    });
    table.get(name).copied()
}

/// What a number word behind a value multiplies it by.
pub(crate) fn scale(word: &str) -> Option<u64> {
    Some(match word.strip_suffix('s').filter(|stem| stem.len() > 4).unwrap_or(word) {
        "dozen" => 12,
        "hundred" => 100,
        "thousand" | "\u{5343}" => 1_000,
        "\u{4e07}" | "\u{842c}" => 10_000,
        "million" => 1_000_000,
        "\u{4ebf}" | "\u{5104}" => 100_000_000,
        "billion" => 1_000_000_000,
        "trillion" => 1_000_000_000_000,
        _ => return None,
    })
}

/// Words that may stand before the name of what is counted without making it another thing.
pub(super) fn is_adjective(word: &str) -> bool {
    matches!(
        word,
        "different"
            | "distinct"
            | "possible"
            | "total"
            | "whole"
            | "full"
            | "ordered"
            | "unique"
            | "positive"
    )
}

/// Words that end like a plural and are none, or that change the value in front of them.
pub(super) fn is_no_plural(word: &str) -> bool {
    const WORDS: &[&str] = &[
        "plus",
        "minus",
        "times",
        "less",
        "unless",
        "always",
        "sometimes",
        "perhaps",
        "besides",
        "afterwards",
        "towards",
        "thus",
        "this",
        "does",
        "was",
        "has",
        "halves",
        "thirds",
        "quarters",
        "fifths",
        "sixths",
        "sevenths",
        "eighths",
        "ninths",
        "tenths",
        "hundredths",
        "thousandths",
        "tens",
        "equals",
        "others",
        "as",
        "is",
        "its",
        "yes",
        "cubes",
        "powers",
        "fourths",
        "twelfths",
        "guess",
        "across",
        "series",
        "means",
        "exceeds",
        "contradictions",
        "errors",
        "mistakes",
        "infinities",
        "bounds",
        "maybes",
        "approximates",
        "estimates",
        "remains",
        "factorials",
        "sometime",
        "otherwise",
        "modulus",
    ];
    WORDS.contains(&word)
}
