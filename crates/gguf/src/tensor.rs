//! How ggml stores elements, and what a header says of a tensor. It refuses to know what a tensor is for.

/// How the elements of a tensor are stored: `ggml_type` by its number, with the size of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorType {
    /// IEEE single precision.
    F32,
    /// IEEE half precision.
    F16,
    /// The upper half of an F32.
    Bf16,
    /// 32 elements of 8 bits, an f16 scale.
    Q8_0,
    /// 32 elements of 4 bits around 8, an f16 scale.
    Q4_0,
    /// 32 elements of 4 bits, an f16 scale and an f16 minimum.
    Q4_1,
    /// 32 elements of 5 bits around 16, an f16 scale.
    Q5_0,
    /// 32 elements of 5 bits, an f16 scale and an f16 minimum.
    Q5_1,
    /// 256 elements of 2 bits; scales and minima of 4 bits for every 16, f16 scales of both.
    Q2K,
    /// 256 elements of 3 bits around 4; scales of 6 bits for every 16, an f16 scale of them.
    Q3K,
    /// 256 elements of 4 bits; scales and minima of 6 bits for every 32, f16 scales of both.
    Q4K,
    /// The same with 5 bits.
    Q5K,
    /// 256 elements of 6 bits around 32; scales of 8 bits for every 16, an f16 scale of them.
    Q6K,
    /// 32 elements of 4 bits that stand in a table, an f16 scale.
    Iq4Nl,
    /// 256 elements of the same table; scales of 6 bits for every 32, an f16 scale of them.
    Iq4Xs,
    /// 32 elements of 4 bits, E2M1, and a power of two (OCP's MX format).
    Mxfp4,
}

impl TensorType {
    /// All that are read.
    pub const ALL: [Self; 16] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::Q8_0,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q5_1,
        Self::Q2K,
        Self::Q3K,
        Self::Q4K,
        Self::Q5K,
        Self::Q6K,
        Self::Iq4Nl,
        Self::Iq4Xs,
        Self::Mxfp4,
    ];

    /// The number that stands for it in a header (`enum ggml_type`).
    pub fn number(self) -> u32 {
        match self {
            Self::F32 => 0,
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q4_1 => 3,
            Self::Q5_0 => 6,
            Self::Q5_1 => 7,
            Self::Q8_0 => 8,
            Self::Q2K => 10,
            Self::Q3K => 11,
            Self::Q4K => 12,
            Self::Q5K => 13,
            Self::Q6K => 14,
            Self::Iq4Nl => 20,
            Self::Iq4Xs => 23,
            Self::Bf16 => 30,
            Self::Mxfp4 => 39,
        }
    }

    /// Its name in ggml.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q2K => "Q2_K",
            Self::Q3K => "Q3_K",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
            Self::Iq4Nl => "IQ4_NL",
            Self::Iq4Xs => "IQ4_XS",
            Self::Mxfp4 => "MXFP4",
        }
    }

    /// Elements of a block. A block lies within a row.
    pub fn block_len(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::Bf16 => 1,
            Self::Q8_0 | Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Iq4Nl | Self::Mxfp4 => 32,
            Self::Q2K | Self::Q3K | Self::Q4K | Self::Q5K | Self::Q6K | Self::Iq4Xs => 256,
        }
    }

    /// Bytes of a block.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::Q8_0 => 2 + 32,
            Self::Q4_0 | Self::Iq4Nl => 2 + 16,
            Self::Q4_1 => 2 + 2 + 16,
            Self::Q5_0 => 2 + 4 + 16,
            Self::Q5_1 => 2 + 2 + 4 + 16,
            Self::Q2K => 16 + 64 + 2 + 2,
            Self::Q3K => 32 + 64 + 12 + 2,
            Self::Q4K => 2 + 2 + 12 + 128,
            Self::Q5K => 2 + 2 + 12 + 32 + 128,
            Self::Q6K => 128 + 64 + 16 + 2,
            Self::Iq4Xs => 2 + 2 + 4 + 128,
            Self::Mxfp4 => 1 + 16,
        }
    }

    /// Whether rounding to 8 bits of mantissa would lose what is stored, rather than what quantisation made up.
    pub(crate) fn is_precise(self) -> bool {
        matches!(self, Self::F32 | Self::F16)
    }
}

/// The number of a type as a message shows it, with the name of those that we do not read.
pub(crate) fn type_name(number: u32) -> String {
    /// `enum ggml_type` of 2026, with those that it no longer has.
    const OTHERS: [(u32, &str); 26] = [
        (4, "Q4_2"),
        (5, "Q4_3"),
        (9, "Q8_1"),
        (15, "Q8_K"),
        (16, "IQ2_XXS"),
        (17, "IQ2_XS"),
        (18, "IQ3_XXS"),
        (19, "IQ1_S"),
        (21, "IQ3_S"),
        (22, "IQ2_S"),
        (24, "I8"),
        (25, "I16"),
        (26, "I32"),
        (27, "I64"),
        (28, "F64"),
        (29, "IQ1_M"),
        (31, "Q4_0_4_4"),
        (32, "Q4_0_4_8"),
        (33, "Q4_0_8_8"),
        (34, "TQ1_0"),
        (35, "TQ2_0"),
        (36, "IQ4_NL_4_4"),
        (37, "IQ4_NL_4_8"),
        (38, "IQ4_NL_8_8"),
        (40, "NVFP4"),
        (41, "Q1_0"),
    ];
    match OTHERS.iter().find(|(other, _)| *other == number) {
        Some((_, name)) => format!("{number} ({name})"),
        None => number.to_string(),
    }
}

/// A tensor of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name in ggml's spelling.
    pub name: String,
    /// Its dimensions, slowest first: `[out, in]` for a projection, the reverse of the header's order.
    pub shape: Vec<u64>,
    /// How elements are stored.
    pub kind: TensorType,
    /// Which file of a split one has it, from 0.
    pub part: usize,
    /// Where its data begin, in bytes from the beginning of that file.
    pub at: u64,
    /// How many bytes they are.
    pub bytes: u64,
}

impl TensorInfo {
    /// Number of elements. It fits: they all lie in the file.
    pub fn elements(&self) -> u64 {
        self.shape.iter().product()
    }
}
