"""The ops of the compiled library in ``torch.ops.recops`` (tools/write_stubs.py)."""

from collections.abc import Sequence

from torch import Tensor

def accumulate_codes(
    x: Tensor,
    index: Tensor,
    num_codes: int,
    weight: Tensor | None,
) -> tuple[Tensor, Tensor]: ...
def coaction(
    feed: Tensor,
    params: Tensor,
    dims: Sequence[int],
    orders: int,
    lengths: Tensor | None,
    feed_index: Tensor | None,
    bias: bool,
    activation: str,
    activate_last: bool,
    concat_hidden: bool,
    pool: str,
    order_independent: bool,
) -> Tensor: ...
def coaction_backward(
    grad: Tensor,
    feed: Tensor,
    params: Tensor,
    dims: Sequence[int],
    orders: int,
    lengths: Tensor | None,
    feed_index: Tensor | None,
    bias: bool,
    activation: str,
    activate_last: bool,
    concat_hidden: bool,
    pool: str,
    order_independent: bool,
) -> tuple[Tensor, Tensor]: ...
def coaction_gather(
    feed_table: Tensor,
    history: Tensor,
    params_table: Tensor,
    targets: Tensor,
    dims: Sequence[int],
    sparse: bool,
    orders: int,
    lengths: Tensor | None,
    feed_index: Tensor | None,
    bias: bool,
    activation: str,
    activate_last: bool,
    concat_hidden: bool,
    pool: str,
    order_independent: bool,
) -> Tensor: ...
def coaction_gather_backward(
    grad: Tensor,
    feed_table: Tensor,
    history: Tensor,
    params_table: Tensor,
    targets: Tensor,
    dims: Sequence[int],
    orders: int,
    lengths: Tensor | None,
    feed_index: Tensor | None,
    bias: bool,
    activation: str,
    activate_last: bool,
    concat_hidden: bool,
    pool: str,
    order_independent: bool,
) -> tuple[Tensor, Tensor]: ...
def coaction_gather_backward_sparse(
    grad: Tensor,
    feed_table: Tensor,
    history: Tensor,
    params_table: Tensor,
    targets: Tensor,
    dims: Sequence[int],
    orders: int,
    lengths: Tensor | None,
    feed_index: Tensor | None,
    bias: bool,
    activation: str,
    activate_last: bool,
    concat_hidden: bool,
    pool: str,
    order_independent: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]: ...
def coaction_multi(
    feeds: Sequence[Tensor],
    params: Sequence[Tensor],
    dims: Sequence[int],
    depths: Sequence[int],
    orders: int,
    lengths: Tensor | None,
    feed_index: Tensor | None,
    bias: bool,
    activation: str,
    activate_last: bool,
    concat_hidden: bool,
    pool: str,
    order_independent: bool,
) -> Tensor: ...
def coaction_multi_backward(
    grad: Tensor,
    feeds: Sequence[Tensor],
    params: Sequence[Tensor],
    dims: Sequence[int],
    depths: Sequence[int],
    orders: int,
    lengths: Tensor | None,
    feed_index: Tensor | None,
    bias: bool,
    activation: str,
    activate_last: bool,
    concat_hidden: bool,
    pool: str,
    order_independent: bool,
) -> list[Tensor]: ...
def code_flips(
    x: Tensor,
    codewords: Tensor,
    sizes: Sequence[int],
    sigma: Tensor,
    samples: int,
    seed: int,
    begin: int,
    end: int,
) -> Tensor: ...
def codebook_overlap(
    codebook: Tensor,
    usage: Tensor,
    sigma: float,
    kernel: str,
) -> tuple[Tensor, Tensor]: ...
def codebook_overlap_backward(
    grad_overlap: Tensor,
    grad_row_sums: Tensor,
    codebook: Tensor,
    usage: Tensor,
    sigma: float,
    kernel: str,
) -> tuple[Tensor, Tensor]: ...
def compiler() -> str: ...
def cosine_nearest_codes(x: Tensor, codebook: Tensor, k: int) -> tuple[Tensor, Tensor]: ...
def cosine_rq_encode(
    x: Tensor,
    codewords: Tensor,
    sizes: Sequence[int],
    beam: int,
    kept: int,
) -> tuple[Tensor, Tensor]: ...
def cpu_isa() -> str: ...
def dice(
    x: Tensor,
    alpha: Tensor,
    mean: Tensor | None,
    var: Tensor | None,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]: ...
def dice_backward(
    grad: Tensor,
    x: Tensor,
    alpha: Tensor,
    mean: Tensor,
    var: Tensor,
    eps: float,
    of_batch: bool,
) -> tuple[Tensor, Tensor]: ...
def embedding_bags(
    weights: Sequence[Tensor],
    ids: Sequence[Tensor],
    tables: Sequence[int],
    padding_idx: int,
) -> Tensor: ...
def embedding_bags_backward(
    grad: Tensor,
    ids: Sequence[Tensor],
    tables: Sequence[int],
    num_rows: Sequence[int],
    widths: Sequence[int],
    padding_idx: int,
) -> list[Tensor]: ...
def embedding_bags_update_(
    weights: Sequence[Tensor],
    states: Sequence[Tensor],
    grad: Tensor,
    ids: Sequence[Tensor],
    tables: Sequence[int],
    optimizer: str,
    lr: float,
    eps: float,
    weight_decay: float,
    padding_idx: int,
) -> None: ...
def fma_ceiling(iterations: int) -> int: ...
def hpmn_scan(
    x: Tensor,
    memory: Tensor,
    count: Tensor,
    w_ih: Sequence[Tensor],
    w_hh: Tensor,
    bias: Tensor,
    periods: Sequence[int],
    lengths: Tensor | None,
    checkpoint: int,
) -> tuple[Tensor, Tensor]: ...
def hpmn_scan_backward(
    grad_memory: Tensor,
    x: Tensor,
    memory: Tensor,
    count: Tensor,
    w_ih: Sequence[Tensor],
    w_hh: Tensor,
    bias: Tensor,
    periods: Sequence[int],
    lengths: Tensor | None,
    checkpoint: int,
    kept: Tensor,
) -> list[Tensor]: ...
def hpmn_step_(
    memory: Tensor,
    count: Tensor,
    rows: Tensor,
    x: Tensor,
    w_ih: Sequence[Tensor],
    w_hh: Tensor,
    bias: Tensor,
    periods: Sequence[int],
) -> None: ...
def memory_address(key: Tensor, memory: Tensor, beta: Tensor) -> Tensor: ...
def memory_covariance(memory: Tensor, squared: bool) -> Tensor: ...
def memory_read(weights: Tensor, memory: Tensor) -> Tensor: ...
def memory_rows(rows: Tensor, pool: int, op: str) -> Tensor: ...
def memory_utilization(usage: Tensor) -> Tensor: ...
def memory_write(memory: Tensor, weights: Tensor, erase: Tensor, add: Tensor) -> Tensor: ...
def mimn_read(
    state: Sequence[Tensor],
    rows: Tensor,
    target: Tensor,
    params: Sequence[Tensor],
    key_memory: Tensor | None,
    usage_scale: float,
    utilization: str,
    induction_topk: int,
) -> tuple[Tensor, Tensor, Tensor]: ...
def mimn_scan(
    x: Tensor,
    state: Sequence[Tensor],
    params: Sequence[Tensor],
    key_memory: Tensor | None,
    usage_scale: float,
    lengths: Tensor | None,
    utilization: str,
    induction_topk: int,
    checkpoint: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]: ...
def mimn_scan_backward(
    grad_outputs: Tensor,
    grad_state: Sequence[Tensor],
    grad_read_weights: Tensor,
    x: Tensor,
    state: Sequence[Tensor],
    params: Sequence[Tensor],
    key_memory: Tensor | None,
    usage_scale: float,
    lengths: Tensor | None,
    utilization: str,
    induction_topk: int,
    checkpoint: int,
    kept: Tensor,
) -> list[Tensor]: ...
def mimn_step_(
    state: Sequence[Tensor],
    count: Tensor,
    rows: Tensor,
    x: Tensor,
    params: Sequence[Tensor],
    key_memory: Tensor | None,
    usage_scale: float,
    utilization: str,
    induction_topk: int,
) -> None: ...
def nearest_codes(x: Tensor, codebook: Tensor, k: int) -> tuple[Tensor, Tensor]: ...
def next_event_loss(
    states: Tensor,
    events: Tensor,
    drawn: Tensor,
    lengths: Tensor,
    layers: Sequence[Tensor],
    differentiate: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]: ...
def next_event_loss_backward(
    grad: Tensor,
    grad_states: Tensor,
    grad_events: Tensor,
    grad_parameters: Tensor,
) -> tuple[Tensor, Tensor, Tensor]: ...
def pack_codes(codes: Tensor, sizes: Sequence[int]) -> Tensor: ...
def recurrent_layer(
    x: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    h0: Tensor | None,
    attention: Tensor | None,
    lengths: Tensor | None,
    cell: str,
    reset: str,
    update: str,
    keep: str,
) -> tuple[Tensor, Tensor, Tensor]: ...
def recurrent_layer_backward(
    grad_outputs: Tensor | None,
    grad_h_last: Tensor | None,
    outputs: Tensor,
    kept: Tensor,
    x: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None,
    b_hh: Tensor | None,
    h0: Tensor | None,
    attention: Tensor | None,
    lengths: Tensor | None,
    cell: str,
    reset: str,
    update: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]: ...
def recurrent_scan(
    gates: Tensor,
    w_hh: Tensor,
    b_hh: Tensor | None,
    h0: Tensor | None,
    attention: Tensor | None,
    lengths: Tensor | None,
    gates_index: Tensor | None,
    cell: str,
    reset: str,
    update: str,
    keep: str,
) -> tuple[Tensor, Tensor, Tensor]: ...
def recurrent_scan_backward(
    grad_outputs: Tensor | None,
    grad_h_last: Tensor | None,
    outputs: Tensor,
    kept: Tensor,
    gates: Tensor,
    w_hh: Tensor,
    b_hh: Tensor | None,
    h0: Tensor | None,
    attention: Tensor | None,
    lengths: Tensor | None,
    gates_index: Tensor | None,
    cell: str,
    reset: str,
    update: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]: ...
def repair_assignment(
    x: Tensor,
    codebook: Tensor,
    weight: Tensor,
    capacity: Tensor,
    nearest: Tensor,
) -> tuple[Tensor, Tensor, Tensor]: ...
def rq_decode(codes: Tensor, codewords: Tensor, sizes: Sequence[int]) -> Tensor: ...
def rq_decode_backward(grad: Tensor, codes: Tensor, sizes: Sequence[int]) -> Tensor: ...
def rq_encode(
    x: Tensor,
    codewords: Tensor,
    sizes: Sequence[int],
    bits: int = ...,
) -> tuple[Tensor, Tensor]: ...
def rq_encode_beams(
    x: Tensor,
    codewords: Tensor,
    sizes: Sequence[int],
    beam: int,
    kept: int,
    bits: int = ...,
) -> tuple[Tensor, Tensor]: ...
def straight_through(
    x: Tensor,
    codewords: Tensor,
    sizes: Sequence[int],
    rotation: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]: ...
def straight_through_backward(
    grad_quantized: Tensor | None,
    grad_commitment: Tensor | None,
    grad_codebook_loss: Tensor | None,
    x: Tensor,
    codewords: Tensor,
    codes: Tensor,
    sizes: Sequence[int],
    rotation: bool,
) -> tuple[Tensor, Tensor]: ...
def swap_flush_subnormals(flush: Sequence[int]) -> list[int]: ...
def torch_target() -> str: ...
def trie_allowed_tokens(
    first_child: Tensor,
    tokens: Tensor,
    depth: int,
    nodes: Tensor,
    vocab_size: int,
) -> Tensor: ...
def trie_bans(
    item_ids: Sequence[Tensor],
    id_order: Sequence[Tensor],
    trie_index: Tensor | None,
    ids: Tensor,
    offsets: Tensor,
) -> Tensor: ...
def trie_beam_items(
    first_child: Tensor,
    tokens: Tensor,
    stamp: Tensor,
    item_ids: Tensor,
    item_rows: Tensor,
    depth: int,
    nodes: Tensor,
    scores: Tensor,
    num_beams: int,
    trie_index: Tensor | None,
    more_tries: Sequence[Tensor] | None,
    more_items: Sequence[Tensor] | None,
    allowed: Sequence[Tensor] | None,
    bans: Sequence[Tensor] | None,
    item_priors: Sequence[Tensor] | None,
) -> tuple[Tensor, Tensor, Tensor]: ...
def trie_beam_step(
    logits: Tensor,
    first_child: Tensor,
    tokens: Tensor,
    stamp: Tensor,
    depth: int,
    nodes: Tensor,
    scores: Tensor,
    num_beams: int,
    normalize: str,
    vocab_sizes: Sequence[int] | None,
    trie_index: Tensor | None,
    more_tries: Sequence[Tensor] | None,
    allowed: Sequence[Tensor] | None,
    bans: Sequence[Tensor] | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]: ...
def trie_build(
    sids: Tensor,
    item_ids: Tensor,
    vocab_sizes: Sequence[int],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]: ...
def trie_find(first_child: Tensor, tokens: Tensor, depth: int, sids: Tensor) -> Tensor: ...
def trie_items(
    first_child: Tensor,
    tokens: Tensor,
    depth: int,
    item_ids: Tensor,
    nodes: Tensor,
) -> tuple[Tensor, Tensor]: ...
def trie_mask(
    item_ids: Tensor,
    id_order: Tensor,
    ids: Tensor,
    offsets: Tensor,
    keep: bool,
    missing_ok: bool,
) -> Tensor: ...
def trie_next_logits(
    logits: Tensor,
    sequences: Tensor,
    prompt_length: int,
    begin_token: int,
    trie: Sequence[Tensor],
    vocab_sizes: Sequence[int],
    model_tokens: Tensor,
    trie_tokens: Tensor,
    end_tokens: Sequence[int],
    allowed: Sequence[Tensor],
) -> Tensor: ...
def trie_next_logits_(
    logits: Tensor,
    sequences: Tensor,
    prompt_length: int,
    begin_token: int,
    trie: Sequence[Tensor],
    vocab_sizes: Sequence[int],
    model_tokens: Tensor,
    trie_tokens: Tensor,
    end_tokens: Sequence[int],
    allowed: Sequence[Tensor],
) -> None: ...
def unpack_codes(packed: Tensor, sizes: Sequence[int]) -> Tensor: ...
def version() -> str: ...
