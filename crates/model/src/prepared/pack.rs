//! Layers with parameters into the same layers with packed weights. Norms and the router's weight stay as they are,
//! shared, without autodiff; the router in f32, because what it rounds differently goes to other experts.

use super::packed::{HostBias, PackedExperts, PackedGateUp, PackedHeads, PackedLatentUp, PackedLinear};
use crate::attention::{DirectQuery, GroupedQuery, Latent, LowRankQuery, Query, SelfAttention};
use crate::block::{Block, FeedForward};
use crate::layers::{Linear, Mlp};
use crate::moe::{Gate, GatedExpert, MixtureOfExperts, RouterBias, Shared, SharedExperts};
use crate::mtp::MultiTokenPrediction;
use burn::module::Module;
use ruminate_kernels::{Precision, PreparedExperts};

impl Linear {
    fn packed(&self, precision: Precision) -> PackedLinear {
        PackedLinear::new(&[self], precision)
    }
}

impl Block {
    pub(super) fn packed(&self, precision: Precision) -> Block<PackedLinear> {
        Block {
            norms: self.norms.valid(),
            self_attn: match &self.self_attn {
                SelfAttention::Latent(latent) => SelfAttention::Latent(latent.packed(precision)),
                SelfAttention::GroupedQuery(grouped) => {
                    SelfAttention::GroupedQuery(grouped.packed(precision))
                }
            },
            residual: self.residual,
            mlp: match &self.mlp {
                FeedForward::Dense(mlp) => FeedForward::Dense(mlp.packed(precision)),
                FeedForward::Moe(moe) => FeedForward::Moe(moe.packed(precision)),
            },
        }
    }
}

impl MultiTokenPrediction {
    pub(super) fn packed(&self, precision: Precision) -> MultiTokenPrediction<PackedLinear> {
        MultiTokenPrediction {
            enorm: self.enorm.valid(),
            hnorm: self.hnorm.valid(),
            eh_proj: self.eh_proj.packed(precision),
            block: self.block.packed(precision),
            shared_head: self.shared_head.valid(),
        }
    }
}

impl GroupedQuery {
    fn packed(&self, precision: Precision) -> GroupedQuery<PackedLinear> {
        GroupedQuery {
            qkv: PackedHeads { stacked: PackedLinear::new(&self.qkv.stack(), precision) },
            o_proj: self.o_proj.packed(precision),
            q_norm: self.q_norm.valid(),
            k_norm: self.k_norm.valid(),
            sizes: self.sizes,
            scale: self.scale,
            rotates: self.rotates,
        }
    }
}

impl Latent {
    fn packed(&self, precision: Precision) -> Latent<PackedLinear> {
        Latent {
            query: match &self.query {
                Query::Direct(direct) => {
                    Query::Direct(DirectQuery { q_proj: direct.q_proj.packed(precision) })
                }
                Query::LowRank(low) => Query::LowRank(LowRankQuery {
                    q_a_proj: low.q_a_proj.packed(precision),
                    q_a_layernorm: low.q_a_layernorm.valid(),
                    q_b_proj: low.q_b_proj.packed(precision),
                }),
            },
            kv_a_proj_with_mqa: self.kv_a_proj_with_mqa.packed(precision),
            kv_a_layernorm: self.kv_a_layernorm.valid(),
            kv_b_proj: PackedLatentUp::new(&self.kv_b_proj, self.sizes, precision),
            o_proj: self.o_proj.packed(precision),
            sizes: self.sizes,
            scale: self.scale,
        }
    }
}

impl Mlp {
    fn packed(&self, precision: Precision) -> Mlp<PackedLinear> {
        Mlp {
            gate_up: PackedGateUp { stacked: PackedLinear::new(&self.gate_up.stack(), precision) },
            down_proj: self.down_proj.packed(precision),
        }
    }
}

impl MixtureOfExperts {
    fn packed(&self, precision: Precision) -> MixtureOfExperts<PackedLinear> {
        let bias = self.gate.e_score_correction_bias.as_ref();
        MixtureOfExperts {
            gate: Gate {
                weight: self.gate.weight.valid(),
                e_score_correction_bias: bias.map(|bias| HostBias { values: bias.values().into_owned() }),
                moe: self.gate.moe,
            },
            experts: PackedExperts { weights: PreparedExperts::new(self.experts.in_f32(), precision) },
            shared: self.shared.as_ref().map(|shared| match shared {
                Shared::Plain(plain) => {
                    Shared::Plain(SharedExperts { shared_experts: plain.shared_experts.packed(precision) })
                }
                Shared::Gated(gated) => Shared::Gated(GatedExpert {
                    shared_expert: gated.shared_expert.packed(precision),
                    shared_expert_gate: gated.shared_expert_gate.valid(),
                }),
            }),
        }
    }
}
