//! Logit distillation: what the teacher says at each place of its traces, kept once, and the student's loss from it. Where
//! it is kept is the caller's: here it becomes bytes and comes back.

// N places with loss of a sample, K tokens of the teacher's

use crate::divergence::divergence;
use burn::tensor::{Tensor, TensorData};
use ruminate_data::Sample;
use ruminate_model::Decoder;
use ruminate_train::TokenLoss;
use ruminate_train::logprobs::{candidate_logprobs, top_logprobs};
use ruminate_train::packing::{Packed, ROW_LENGTH, Sequence, microbatches, pack};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::borrow::Borrow;

/// The top of the teacher's next-token distributions at the places with loss of a sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TeacherTopK {
    /// `[N, K]`: its most probable tokens.
    pub ids: Vec<u32>,
    /// `[N, K]`: their log-probabilities in nats.
    pub logprobs: Vec<f32>,
    /// `[N]`: `ln` of the probability of all the others together; `-inf` where there are none.
    pub rest: Vec<f32>,
}

/// Which of the teacher's numbers are kept.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TopKSpec {
    /// Tokens of a place (K).
    pub count: usize,
    /// Ids that teacher and student both have. The teacher's distribution is over these alone: embeddings are padded, and
    /// a padded id is no token.
    pub vocabulary: usize,
    /// Divides the logits of both.
    pub temperature: f64,
}

impl TopKSpec {
    /// What is kept of a teacher for a student with these sizes of vocabulary; `top_k` 0 asks for all of it.
    ///
    /// A student with more ids than its teacher has a rest always: then one of the teacher's tokens has to be in its rest,
    /// too, or a reverse KL were infinite.
    pub fn new(top_k: usize, temperature: f64, teacher: usize, student: usize) -> Self {
        let vocabulary = teacher.min(student);
        let most = if student > vocabulary { vocabulary - 1 } else { vocabulary }.max(1);
        let count = if top_k == 0 { most } else { top_k.min(most) };
        Self { count, vocabulary, temperature }
    }
}

/// A sample with what the teacher says of it.
#[derive(Clone, Copy, Debug)]
pub struct TeacherSample<'a> {
    /// The trace.
    pub sample: &'a Sample,
    /// The teacher's.
    pub top: &'a TeacherTopK,
}

impl Borrow<Sample> for TeacherSample<'_> {
    fn borrow(&self) -> &Sample {
        self.sample
    }
}

/// Sequences that the teacher computes at once.
const SEQUENCES: usize = 8;

/// Asks the teacher about every place with loss.
///
/// # Errors
/// [`TooLong`](ruminate_train::Error::TooLong) never: rows grow to the longest sample.
///
/// # Panics
/// When a sample has more tokens than the teacher has positions.
pub fn teacher_top(
    teacher: &Decoder,
    samples: &[Sample],
    kept: TopKSpec,
) -> Result<Vec<TeacherTopK>, ruminate_train::Error> {
    let lengths: Vec<usize> = samples.iter().map(|sample| sample.ids.len()).collect();
    let row_length = lengths.iter().fold(ROW_LENGTH, |longest, &length| longest.max(length));
    let mut tops = vec![TeacherTopK::default(); samples.len()];
    for members in microbatches(&lengths, SEQUENCES) {
        let sequences: Vec<Sequence> = members.iter().map(|&index| Sequence::from(&samples[index])).collect();
        let packed = pack(&sequences, row_length)?;
        if packed.loss_tokens() == 0 {
            continue;
        }
        let top = top_logprobs(teacher, &packed, kept.count, kept.vocabulary, kept.temperature);
        let places: Vec<usize> = (0..packed.loss_tokens()).collect();
        for (index, places) in members.into_iter().zip(packed.by_sequence(&places)) {
            let rows = |values: &[f32]| -> Vec<f32> {
                places
                    .iter()
                    .flat_map(|&place| &values[place * kept.count..][..kept.count])
                    .copied()
                    .collect()
            };
            let ids = places.iter().flat_map(|&place| &top.ids[place * kept.count..][..kept.count]);
            tops[index] = TeacherTopK {
                ids: ids.copied().collect(),
                logprobs: rows(&top.logprobs),
                rest: places.iter().map(|&place| top.rest[place]).collect(),
            };
        }
    }
    Ok(tops)
}

/// The loss of a microbatch: the divergence of GKD between teacher and student at every place with loss.
///
/// Logits of both are divided by the temperature, and gradients are not multiplied by its square again (as in TRL, and
/// unlike Hinton 2015). The measure `teacher_entropy` is the part of the cross-entropy that no student can remove, of the
/// same joined outcomes.
pub fn logit_loss(
    policy: &Decoder,
    hidden: Tensor<2>,
    packed: &Packed,
    items: &[&TeacherSample],
    beta: f64,
    temperature: f64,
) -> TokenLoss {
    let places = packed.loss_tokens();
    let device = hidden.device();
    // Row after row of ids and of log-probabilities, in the order of the packed places.
    let rows: Vec<Vec<(&TeacherSample, usize)>> =
        items.iter().map(|item| (0..item.top.rest.len()).map(|row| (*item, row)).collect()).collect();
    let rows = packed.over_loss_places(&rows);
    let count = items.iter().map(|item| item.top.ids.len()).sum::<usize>() / places;
    let candidates: Vec<u32> =
        rows.iter().flat_map(|(item, row)| &item.top.ids[row * count..][..count]).copied().collect();
    let columns = |(item, row): &(&TeacherSample, usize)| -> Vec<f32> {
        let logprobs = &item.top.logprobs[row * count..][..count];
        logprobs.iter().copied().chain([item.top.rest[*row]]).collect()
    };
    let teacher: Vec<f32> = rows.iter().flat_map(columns).collect();
    let entropy: f64 =
        teacher.iter().map(|&x| -f64::from(x) * f64::from(x).exp()).filter(|x| !x.is_nan()).sum();
    let teacher = Tensor::<2>::from_data(TensorData::new(teacher, [places, count + 1]), &device);
    let student = candidate_logprobs(policy, hidden, packed, &candidates, temperature); // [N, K + 1]
    // Of a whole vocabulary nothing is left, in neither: a column that none has.
    let columns = if count == policy.config().vocab_size { count } else { count + 1 };
    let sum = divergence(student.narrow(1, 0, columns), teacher.narrow(1, 0, columns), beta).sum();
    TokenLoss { sum, measures: vec![("teacher_entropy", entropy)] }
}

/// `ids` (u32 `[N, K]`), `logprobs` (f32 `[N, K]`) and `rest` (f32 `[N]`) of all samples, one after the other, as a
/// safetensors file.
pub fn to_bytes(tops: &[TeacherTopK], kept: TopKSpec) -> Vec<u8> {
    let bytes = |values: &dyn Fn(&TeacherTopK) -> Vec<[u8; 4]>| -> Vec<u8> {
        tops.iter().flat_map(values).flatten().collect()
    };
    let floats = |values: &[f32]| values.iter().map(|value| value.to_le_bytes()).collect::<Vec<_>>();
    let ids = bytes(&|top| top.ids.iter().map(|id| id.to_le_bytes()).collect());
    let logprobs = bytes(&|top| floats(&top.logprobs));
    let rest = bytes(&|top| floats(&top.rest));
    let places = rest.len() / 4;
    let view =
        |dtype, shape, bytes| TensorView::new(dtype, shape, bytes).expect("bytes were made of this shape");
    let tensors = [
        ("ids", view(Dtype::U32, vec![places, kept.count], &ids)),
        ("logprobs", view(Dtype::F32, vec![places, kept.count], &logprobs)),
        ("rest", view(Dtype::F32, vec![places], &rest)),
    ];
    safetensors::serialize(tensors, None).expect("names are unique, sizes agree")
}

/// The reverse, for the samples that they were made of. A file of anything else is refused with the reason in words.
///
/// # Errors
/// What does not fit the samples.
pub fn from_bytes(bytes: &[u8], samples: &[Sample], kept: TopKSpec) -> Result<Vec<TeacherTopK>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| format!("not a safetensors file: {error}"))?;
    let of_sample = |sample: &Sample| sample.loss_mask.iter().skip(1).filter(|trained| **trained).count();
    let places: usize = samples.iter().map(of_sample).sum();
    let field = |name: &str, dtype: Dtype, shape: &[usize]| -> Result<Vec<[u8; 4]>, String> {
        let view = file.tensor(name).map_err(|_| format!("tensor {name} is missing"))?;
        if view.dtype() != dtype || view.shape() != shape {
            let (found, found_shape) = (view.dtype(), view.shape());
            return Err(format!(
                "tensor {name}: expected {dtype:?} {shape:?}, found {found:?} {found_shape:?}"
            ));
        }
        Ok(view.data().as_chunks::<4>().0.to_vec())
    };
    let floats = |words: Vec<[u8; 4]>| words.into_iter().map(f32::from_le_bytes).collect::<Vec<f32>>();
    let ids = field("ids", Dtype::U32, &[places, kept.count])?;
    let ids: Vec<u32> = ids.into_iter().map(u32::from_le_bytes).collect();
    if let Some(id) = ids.iter().find(|id| **id as usize >= kept.vocabulary) {
        return Err(format!("tensor ids: {id} is no token of {}", kept.vocabulary));
    }
    let logprobs = floats(field("logprobs", Dtype::F32, &[places, kept.count])?);
    let rest = floats(field("rest", Dtype::F32, &[places])?);
    let mut start = 0;
    let tops = samples.iter().map(|sample| {
        let end = start + of_sample(sample);
        let top = TeacherTopK {
            ids: ids[start * kept.count..end * kept.count].to_vec(),
            logprobs: logprobs[start * kept.count..end * kept.count].to_vec(),
            rest: rest[start..end].to_vec(),
        };
        start = end;
        top
    });
    Ok(tops.collect())
}
