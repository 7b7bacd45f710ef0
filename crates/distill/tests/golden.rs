//! Losses and gradients against TRL's numbers (`fixtures/distill/make.py`), and the on-policy gradient against the
//! divergence that it estimates. Softmax and rest are composed here; `kernels` shows that its fused form is that composition.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};
use ruminate_distill::divergence;
use ruminate_distill::on_policy::policy_gradient;
use ruminate_testkit as testkit;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    batch: Batch,
    divergence: Vec<Case>,
    on_policy: OnPolicy,
}

#[derive(Deserialize)]
struct Batch {
    hidden: Vec<Vec<f32>>,
    head: Vec<Vec<f32>>,
    teacher_logits: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct Case {
    beta: f64,
    temperature: f64,
    top_k: usize,
    loss: f32,
    d_hidden: Vec<Vec<f32>>,
    d_head: Vec<Vec<f32>>,
}

#[derive(Deserialize)]
struct OnPolicy {
    logprobs: Vec<f32>,
    old: Vec<f32>,
    advantages: Vec<f32>,
    gradient: Vec<f32>,
    loss: f32,
}

fn matrix(rows: &[Vec<f32>]) -> Tensor<2> {
    let shape = [rows.len(), rows[0].len()];
    Tensor::from_data(TensorData::new(rows.concat(), shape), &testkit::autodiff_device())
}

/// The ids of each row's `top_k` largest logits, row-major.
fn top_ids(logits: &[Vec<f32>], top_k: usize) -> Vec<u32> {
    let top = |row: &Vec<f32>| {
        let mut ids: Vec<u32> = (0..row.len() as u32).collect();
        ids.sort_by(|&a, &b| row[b as usize].total_cmp(&row[a as usize]));
        ids.truncate(top_k);
        ids
    };
    logits.iter().flat_map(top).collect()
}

/// Log-probabilities of some tokens of each row, and of all others together where there are any.
fn columns(logits: Tensor<2>, ids: &[u32], temperature: f64) -> Tensor<2> {
    let [places, vocabulary] = logits.dims();
    let chosen = ids.len() / places;
    let all = log_softmax(logits.div_scalar(temperature), 1);
    let others: Vec<f32> = ids
        .chunks(chosen)
        .flat_map(|ids| (0..vocabulary as u32).map(|id| f32::from(u8::from(!ids.contains(&id)))))
        .collect();
    let others = Tensor::<2>::from_data(TensorData::new(others, [places, vocabulary]), &all.device());
    let ids: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, [places, chosen]), &all.device());
    let top = all.clone().gather(1, ids);
    if chosen == vocabulary {
        return top;
    }
    Tensor::cat(vec![top, (all.exp() * others).sum_dim(1).log()], 1)
}

#[test]
fn divergences_and_their_gradients_equal_trls() {
    let golden: Golden = testkit::json("distill/golden.json");
    assert!(golden.divergence.len() >= 20, "the fixture has its cases");
    let Batch { hidden, head, teacher_logits } = golden.batch;
    for Case { beta, temperature, top_k, loss, d_hidden, d_head } in &golden.divergence {
        let (hidden, head) = (matrix(&hidden).require_grad(), matrix(&head).require_grad());
        let ids = top_ids(&teacher_logits, *top_k);
        let teacher = columns(matrix(&teacher_logits), &ids, *temperature);
        let student = columns(hidden.clone().matmul(head.clone().transpose()), &ids, *temperature);
        let found = divergence(student, teacher, *beta).sum().div_scalar(teacher_logits.len() as f64);
        let name = format!("beta {beta}, temperature {temperature}, top {top_k}");
        let value = found.clone().into_scalar::<f32>();
        assert!((value - loss).abs() < 1e-5, "{name}: {value} instead of {loss}");
        let gradients = found.backward();
        for (tensor, expected) in [(&hidden, d_hidden), (&head, d_head)] {
            let gradient = tensor.grad(&gradients).expect("a gradient");
            testkit::assert_close(&testkit::floats(gradient), &expected.concat(), 1e-5);
        }
    }
}

#[test]
fn the_on_policy_loss_and_its_gradient_are_the_references() {
    let OnPolicy { logprobs, old, advantages, gradient, loss } =
        testkit::json::<Golden>("distill/golden.json").on_policy;
    let logprobs = Tensor::<1>::from_floats(logprobs.as_slice(), &testkit::autodiff_device()).require_grad();
    let found = policy_gradient(logprobs.clone(), &old, &advantages);
    assert!((found.clone().into_scalar::<f32>() - loss).abs() < 1e-5);
    let actual = logprobs.grad(&found.backward()).expect("a gradient");
    testkit::assert_close(&testkit::floats(actual), &gradient, 1e-5);
}

/// Every token that could have been sampled, weighed by how often it is: the expectation of the on-policy gradient is
/// the gradient of the reverse KL over the vocabulary.
#[test]
fn the_on_policy_gradient_is_that_of_the_reverse_kl() {
    let golden: Golden = testkit::json("distill/golden.json");
    let Batch { hidden, head, teacher_logits } = golden.batch;
    let vocabulary = head.len();
    let places = hidden.len();
    let ids = top_ids(&teacher_logits, vocabulary);
    let teacher = testkit::floats(columns(matrix(&teacher_logits), &ids, 1.0));
    let (states, weights) = (matrix(&hidden).require_grad(), matrix(&head).require_grad());
    // Every token of each place, in the order of the teacher's.
    let logits = states.clone().matmul(weights.clone().transpose());
    let logprobs: Tensor<1> = columns(logits, &ids, 1.0).reshape([places * vocabulary]);
    let old = testkit::floats(logprobs.clone().detach());
    let advantages: Vec<f32> =
        old.iter().zip(&teacher).map(|(old, teacher)| old.exp() * (teacher - old)).collect();
    let loss = policy_gradient(logprobs, &old, &advantages).div_scalar(places as f64);
    let case = golden
        .divergence
        .iter()
        .find(|case| case.beta == 1.0 && case.temperature == 1.0 && case.top_k == vocabulary)
        .expect("the reverse KL");
    let gradients = loss.backward();
    for (tensor, expected) in [(&states, &case.d_hidden), (&weights, &case.d_head)] {
        let gradient = tensor.grad(&gradients).expect("a gradient");
        testkit::assert_close(&testkit::floats(gradient), &expected.concat(), 1e-5);
    }
}
