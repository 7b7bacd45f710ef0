//! The dynamic maps of 8-bit optimizers (Dettmers 2016, arXiv 1511.04561; arXiv 2110.02861, section 1.3; bitsandbytes'
//! `create_dynamic_map`): what the 256 codes stand for, and the code of a number.
//!
//! A magnitude up to 1 lies in one of seven decades, from 1e-7 to 1. Each decade is cut into cells of equal width, twice
//! as many as the one below it, and a code stands for the middle of its cell. Beside the cells there are 0 and 1. The
//! signed map has cells on both sides of 0 and its 1 on one side alone, so that -1 becomes -0.993.

/// Powers of ten that cells lie in.
pub(crate) const DECADES: usize = 7;

/// Codes for numbers relative to the largest magnitude of their block, sorted by what they stand for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DynamicMap {
    /// What each code stands for.
    pub(crate) values: [f32; 256],
    /// The code of 0.
    pub(crate) zero: f32,
    /// A magnitude up to this becomes 0.
    pub(crate) smallest: f32,
    /// A magnitude above this becomes 1.
    pub(crate) one: f32,
    /// Magnitudes above this have their nearest value in this decade or a higher one.
    pub(crate) from: [f32; DECADES],
    /// `scale * x + offset`, rounded, is the cell of a magnitude, counted from 1 over all decades.
    pub(crate) scale: [f32; DECADES],
    /// See `scale`.
    pub(crate) offset: [f32; DECADES],
    /// The last cell of each decade.
    pub(crate) last: [f32; DECADES],
}

/// Of a mean of gradients.
pub(crate) static SIGNED: DynamicMap = DynamicMap::new(1, 127);

/// Of a mean of squares.
pub(crate) static UNSIGNED: DynamicMap = DynamicMap::new(2, 0);

impl DynamicMap {
    /// The map with so many cells in the lowest decade, and 0 at the code `zero`; below it lie the negative numbers.
    const fn new(lowest: usize, zero: usize) -> Self {
        let mut map = Self {
            values: [0.0; 256],
            zero: zero as f32,
            smallest: 0.0,
            one: 0.0,
            from: [0.0; DECADES],
            scale: [0.0; DECADES],
            offset: [0.0; DECADES],
            last: [0.0; DECADES],
        };
        let (mut decade, mut first, mut top, mut below) = (0, 1, 1e-6, 0.0);
        while decade < DECADES {
            let cells = lowest << decade;
            let mut cell = 0;
            while cell < cells {
                let value = top * (0.1 + 0.9 * (cell as f64 + 0.5) / cells as f64);
                map.values[zero + first + cell] = value as f32;
                if zero > 0 {
                    map.values[zero - first - cell] = -value as f32;
                }
                if cell == 0 {
                    map.from[decade] = f64::midpoint(below, value) as f32;
                }
                below = value;
                cell += 1;
            }
            let scale = cells as f64 / (0.9 * top);
            map.scale[decade] = scale as f32;
            // The first cell begins at a tenth of the top; rounding takes the nearest whole number.
            map.offset[decade] = (first as f64 - 0.5 - 0.1 * top * scale) as f32;
            first += cells;
            map.last[decade] = (first - 1) as f32;
            top *= 10.0;
            decade += 1;
        }
        map.values[zero + first] = 1.0;
        map.smallest = map.from[0];
        map.one = f64::midpoint(below, 1.0) as f32;
        map
    }

    /// The code of `value`, whose block has the largest magnitude `1 / inverse`.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "to be compiled for the caller's vectors")]
    pub(crate) fn code(&self, value: f32, inverse: f32) -> u8 {
        let share = value.abs() * inverse;
        let (mut scale, mut offset, mut last) = (self.scale[0], self.offset[0], self.last[0]);
        for decade in 1..DECADES {
            let is_here = share > self.from[decade];
            scale = if is_here { self.scale[decade] } else { scale };
            offset = if is_here { self.offset[decade] } else { offset };
            last = if is_here { self.last[decade] } else { last };
        }
        let cell = share * scale + offset;
        let cell = if cell < last { cell } else { last };
        let cell = if share > self.smallest { cell } else { 0.0 };
        let cell = if share > self.one { self.last[DECADES - 1] + 1.0 } else { cell };
        let below = if cell < self.zero { -cell } else { -self.zero };
        let code = self.zero + if value < 0.0 { below } else { cell };
        // Rounded to a whole number, which then lies in the low bits.
        (code + ROUND).to_bits() as u8
    }
}

/// 2^23, from where on every float is a whole number: adding it to a code rounds the code.
const ROUND: f32 = 8_388_608.0;
