//! Two tokens a step: the multi-token prediction module guesses the token after the one that is fed, both are fed at
//! once, and the guess is taken or replaced (`rejection.rs`).
//!
//! A refused guess has written a column that no token may see. Each slot has its own place in the ring, so it just goes on
//! by one column instead of two and writes that one again.

// S slots, D hidden

use super::pending::Ended;
use super::rejection::{Draft, draft, verify};
use super::sampler::{SampledToken, Scratch, sample};
use super::session::Session;
use super::slots::Active;
use burn::tensor::{Device, Int, Tensor};
use rayon::prelude::*;
use ruminate_data::Request;
use ruminate_model::DecodeStep;

/// Guesses that were verified, and how many of them were right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpeculationStats {
    /// Verified.
    pub drafted: u64,
    /// Taken.
    pub accepted: u64,
}

impl SpeculationStats {
    /// Share of the guesses that were taken; None without any.
    pub fn acceptance(&self) -> Option<f64> {
        (self.drafted > 0).then(|| self.accepted as f64 / self.drafted as f64)
    }
}

/// What guessing keeps of each slot from step to step.
pub(super) struct Speculation {
    /// The guess of the token after the one that is fed next; None for one that has just begun.
    drafts: Vec<Option<Draft>>,
    /// `[S, D]`, the trunk's states at the last tokens that were fed.
    last: Tensor<2>,
    pub(super) stats: SpeculationStats,
}

/// What a slot's step came to.
struct Drawn {
    slot: usize,
    active: Active,
    /// The token after the one that was fed; None where there is no distribution.
    first: Option<SampledToken>,
    second: Second,
    guess: Guess,
}

/// The token after the guess.
enum Second {
    /// None was drawn: the guess was not right, or is the last token.
    Absent,
    /// Drawn; None where there is no distribution.
    Drawn(Option<SampledToken>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Guess {
    Absent,
    Refused,
    Taken,
}

/// What the module reads next of a slot: the last two places, the former of which it may have read already.
#[derive(Clone, Copy, Default)]
struct Places {
    /// Rows of their states among those of the step and, after these, of `last`.
    states: [usize; 2],
    /// The tokens after them.
    next: [u32; 2],
    /// Position of the first.
    position: u32,
}

impl Speculation {
    pub(super) fn new(slots: usize, width: usize, device: &Device) -> Self {
        Self {
            drafts: vec![None; slots],
            last: Tensor::zeros([slots, width], device),
            stats: SpeculationStats::default(),
        }
    }

    /// Newcomers in `slots`, whose prompts' last states are the rows `rows` of `states`: there is no guess for them yet.
    pub(super) fn admit(&mut self, slots: &[usize], states: &Tensor<2>, rows: &[usize]) {
        let count = self.drafts.len();
        let mut places: Vec<usize> = (0..count).collect();
        for (&slot, &row) in slots.iter().zip(rows) {
            self.drafts[slot] = None;
            places[slot] = count + row;
        }
        self.last = rows_of(vec![self.last.clone(), states.clone()], &places);
    }

    /// Forgets everything, for so many slots.
    pub(super) fn reset(&mut self, slots: usize, width: usize, device: &Device) {
        let stats = self.stats;
        *self = Self { stats, ..Self::new(slots, width, device) };
    }

    pub(super) fn select(&mut self, kept: &[usize]) {
        self.drafts = kept.iter().map(|&slot| self.drafts[slot].take()).collect();
        self.last = rows_of(vec![self.last.clone()], kept);
    }
}

impl Session<'_> {
    /// Feeds every slot's token and its guess, draws one or two tokens, and guesses again.
    pub(super) fn step_guessing(&mut self, mut speculation: Speculation) -> Speculation {
        let (mut tokens, positions) = self.slots.inputs();
        let count = tokens.len();
        // Where there is no guess, something has to be fed; nothing comes of it.
        let guess = |draft: &Option<Draft>| draft.as_ref().map_or(0, |draft| draft.token);
        tokens.extend(speculation.drafts.iter().map(guess));
        let step = DecodeStep { tokens: &tokens, positions: &positions, columns: self.slots.columns() };
        let output = self.decoder.decode(step, &mut self.cache);

        let drawn = self.draw_guessing(output.hidden.clone(), &speculation);
        let mut places = vec![Places::default(); count];
        let mut seated = Vec::with_capacity(count);
        for Drawn { slot, active: Active { request, token, position }, first, second, guess } in drawn {
            speculation.stats.drafted += u64::from(guess != Guess::Absent);
            speculation.stats.accepted += u64::from(guess == Guess::Taken);
            self.pending.record(request, &self.pending.experts_at(&output.routing, slot..slot + 1));
            let Ended::No(first) = self.pending.take(request, first) else { continue };
            let (last, position) = match second {
                Second::Absent => {
                    places[slot] = Places {
                        states: [2 * count + slot, slot],
                        next: [token, first],
                        position: position - 1,
                    };
                    (first, position + 1)
                }
                Second::Drawn(second) => {
                    let fed = count + slot;
                    self.pending.record(request, &self.pending.experts_at(&output.routing, fed..fed + 1));
                    let Ended::No(second) = self.pending.take(request, second) else { continue };
                    self.slots.advance(slot);
                    places[slot] = Places { states: [slot, fed], next: [first, second], position };
                    (second, position + 2)
                }
            };
            self.slots.assign(slot, Active { request, token: last, position });
            seated.push((slot, request));
        }
        if !seated.is_empty() {
            self.guess(output.hidden, &places, &seated, &mut speculation);
        }
        speculation
    }

    /// Verifies the guesses, and draws the token after those that were right.
    fn draw_guessing(&mut self, hidden: Tensor<2>, speculation: &Speculation) -> Vec<Drawn> {
        let logits = self.logits(hidden);
        let seated = self.slots.take_active();
        let count = speculation.drafts.len();
        let draw = |Scratch { row, logits: edited }: &mut Scratch, (slot, active): (usize, Active)| {
            let request = active.request;
            let Request { sampling, seed, .. } = self.pending.request(request);
            let seed = *seed;
            let written = self.pending.length(request);
            let draft = speculation.drafts[slot].as_ref();
            let verified = if let Some(token) = self.pending.forced(request, None) {
                Some((SampledToken::forced(token), draft.is_some_and(|draft| draft.token == token)))
            } else {
                let logits = self.pending.edited(request, None, logits.row(slot), edited);
                verify(draft, logits, sampling, seed, written as u64, row)
            };
            let right = verified.as_ref().is_some_and(|(_, right)| *right);
            let first = verified.map(|(first, _)| first);
            let before = first.as_ref().map(|first| first.token);
            let goes_on = before.is_some_and(|first| !self.pending.would_end(request, first));
            let second = if right && goes_on {
                Second::Drawn(if let Some(token) = self.pending.forced(request, before) {
                    Some(SampledToken::forced(token))
                } else {
                    let logits = self.pending.edited(request, before, logits.row(count + slot), edited);
                    sample(logits, sampling, seed, written as u64 + 1, row)
                })
            } else {
                Second::Absent
            };
            let guess = match draft {
                None => Guess::Absent,
                Some(_) if right => Guess::Taken,
                Some(_) => Guess::Refused,
            };
            Drawn { slot, active, first, second, guess }
        };
        seated.into_par_iter().map_init(Scratch::default, draw).collect()
    }

    /// Reads the last two places of those that go on, and guesses what comes after the token that is fed next.
    fn guess(
        &mut self,
        hidden: Tensor<2>,
        places: &[Places],
        seated: &[(usize, usize)],
        speculation: &mut Speculation,
    ) {
        // The first place of every slot, then the second.
        let both = || (0..2).flat_map(|place| places.iter().map(move |slot| (slot, place)));
        let states: Vec<usize> = both().map(|(slot, place)| slot.states[place]).collect();
        let tokens: Vec<u32> = both().map(|(slot, place)| slot.next[place]).collect();
        let hidden = rows_of(vec![hidden, speculation.last.clone()], &states); // [2 S, D]
        let positions: Vec<u32> = places.iter().map(|slot| slot.position).collect();
        let columns = self.slots.columns_before(2);
        let step = DecodeStep { tokens: &tokens, positions: &positions, columns: &columns };
        let count = places.len();
        speculation.last = hidden.clone().narrow(0, count, count);
        let drafted = self.decoder.draft(hidden, step, &mut self.cache).narrow(0, count, count);
        let logits = self.logits(drafted);
        let guess = |Scratch { row, logits: edited }: &mut Scratch, &(slot, request): &(usize, usize)| {
            // The token that is fed next is drawn already.
            let position = self.pending.length(request) as u64;
            let Request { sampling, seed, .. } = self.pending.request(request);
            let logits = self.pending.edited(request, None, logits.row(slot), edited);
            (slot, draft(logits, sampling, *seed, position, row))
        };
        let drafts: Vec<(usize, Option<Draft>)> =
            seated.par_iter().map_init(Scratch::default, guess).collect();
        for (slot, draft) in drafts {
            speculation.drafts[slot] = draft;
        }
    }
}

/// Rows of tensors that are laid one after the other.
fn rows_of(parts: Vec<Tensor<2>>, rows: &[usize]) -> Tensor<2> {
    let all = Tensor::cat(parts, 0);
    let rows: Vec<i32> = rows.iter().map(|&row| row as i32).collect();
    let rows = Tensor::<1, Int>::from_ints(rows.as_slice(), &all.device());
    all.select(0, rows)
}
