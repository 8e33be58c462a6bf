// C interface to oneDNN's AUGRU, for onednn_augru.py. torch bundles oneDNN but does not expose its AUGRU.
//
// All arrays are float, and time is the first dimension if there is one: x [T, B, I], attention [T, B, 1], h0 [B, H],
// w_layer [I, 3, H] and w_iter [H, 3, H] with the gates in the order update, reset, candidate, bias [3 or 4, H],
// outputs [T, B, H]. Weights are converted to oneDNN's layout once, not in every run.
#include <oneapi/dnnl/dnnl.hpp>

#include <unordered_map>
#include <vector>

namespace {

using dnnl::memory;
using Tag = memory::format_tag;
using Arguments = std::unordered_map<int, memory>;

class Augru {
 public:
  virtual ~Augru() = default;
  virtual void infer() = 0;
  virtual void forward() = 0;   // stores what backward reads
  virtual void backward() = 0;  // gradients of Σ outputs · (gradient of outputs)
};

template <class ForwardPass, class BackwardPass>
class Cell : public Augru {
 public:
  Cell(int64_t b, int64_t t, int64_t i, int64_t h, int64_t biases, float* const* in, float* const* out) {
    const auto dense = [](memory::dims dims, Tag tag) { return memory::desc(dims, memory::data_type::f32, tag); };
    const auto x = dense({t, b, i}, Tag::tnc), attention = dense({t, b, 1}, Tag::tnc),
               state = dense({1, 1, b, h}, Tag::ldnc), w_layer = dense({1, 1, i, 3, h}, Tag::ldigo),
               w_iter = dense({1, 1, h, 3, h}, Tag::ldigo), bias = dense({1, 1, biases, h}, Tag::ldgo),
               outputs = dense({t, b, h}, Tag::tnc);
    const auto any_layer = dense({1, 1, i, 3, h}, Tag::any), any_iter = dense({1, 1, h, 3, h}, Tag::any);
    const auto direction = dnnl::rnn_direction::unidirectional_left2right;
    const auto pass = [&](dnnl::prop_kind kind) {
      return typename ForwardPass::primitive_desc(engine_, kind, direction, x, state, attention, any_layer, any_iter,
                                                  bias, outputs, state);
    };
    const auto infer_desc = pass(dnnl::prop_kind::forward_inference);
    const auto forward_desc = pass(dnnl::prop_kind::forward_training);
    infer_ = ForwardPass(infer_desc);
    forward_ = ForwardPass(forward_desc);
    const auto at = [&](const memory::desc& desc, float* data) { return memory(desc, engine_, data); };
    const auto own = [&](const memory::desc& desc) { return memory(desc, engine_); };
    const auto reordered = [&](const memory::desc& from, float* data, const memory::desc& to) {
      memory source = at(from, data), target = own(to);
      dnnl::reorder(source, target).execute(stream_, source, target);
      stream_.wait();
      return target;
    };
    common_ = {{DNNL_ARG_SRC_LAYER, at(x, in[0])},        {DNNL_ARG_AUGRU_ATTENTION, at(attention, in[1])},
               {DNNL_ARG_SRC_ITER, at(state, in[2])},     {DNNL_ARG_BIAS, at(bias, in[5])},
               {DNNL_ARG_DST_LAYER, at(outputs, out[0])}, {DNNL_ARG_DST_ITER, at(state, out[1])}};
    const auto with_weights = [&](const auto& desc) {
      Arguments all = common_;
      all.insert({DNNL_ARG_WEIGHTS_LAYER, reordered(w_layer, in[3], desc.weights_layer_desc())});
      all.insert({DNNL_ARG_WEIGHTS_ITER, reordered(w_iter, in[4], desc.weights_iter_desc())});
      return all;
    };
    infer_arguments_ = with_weights(infer_desc);
    forward_arguments_ = with_weights(forward_desc);
    const memory workspace = own(forward_desc.workspace_desc());
    forward_arguments_.insert({DNNL_ARG_WORKSPACE, workspace});

    const auto backward_desc = typename BackwardPass::primitive_desc(
        engine_, dnnl::prop_kind::backward, direction, x, state, attention, any_layer, any_iter, bias, outputs, state,
        x, state, attention, any_layer, any_iter, bias, outputs, state, forward_desc);
    backward_ = BackwardPass(backward_desc);
    backward_arguments_ = with_weights(backward_desc);
    diff_layer_ = own(backward_desc.diff_weights_layer_desc());
    diff_iter_ = own(backward_desc.diff_weights_iter_desc());
    diff_bias_ = own(backward_desc.diff_bias_desc());
    const memory none = own(state);
    std::fill_n(static_cast<float*>(none.get_data_handle()), b * h, 0.0f);
    const std::pair<int, memory> diffs[] = {{DNNL_ARG_WORKSPACE, workspace},
                                            {DNNL_ARG_DIFF_DST_LAYER, at(outputs, in[6])},
                                            {DNNL_ARG_DIFF_DST_ITER, none},
                                            {DNNL_ARG_DIFF_SRC_LAYER, at(x, out[2])},
                                            {DNNL_ARG_DIFF_AUGRU_ATTENTION, at(attention, out[3])},
                                            {DNNL_ARG_DIFF_SRC_ITER, at(state, out[4])},
                                            {DNNL_ARG_DIFF_WEIGHTS_LAYER, diff_layer_},
                                            {DNNL_ARG_DIFF_WEIGHTS_ITER, diff_iter_},
                                            {DNNL_ARG_DIFF_BIAS, diff_bias_}};
    backward_arguments_.insert(std::begin(diffs), std::end(diffs));
  }

  void infer() override { run(infer_, infer_arguments_); }
  void forward() override { run(forward_, forward_arguments_); }
  void backward() override {
    for (const memory& diff : {diff_layer_, diff_iter_, diff_bias_})  // oneDNN adds to them.
      std::fill_n(static_cast<char*>(diff.get_data_handle()), diff.get_desc().get_size(), 0);
    run(backward_, backward_arguments_);
  }

 private:
  template <class Primitive>
  void run(Primitive& primitive, const Arguments& arguments) {
    primitive.execute(stream_, arguments);
    stream_.wait();
  }

  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  ForwardPass infer_, forward_;
  BackwardPass backward_;
  Arguments common_, infer_arguments_, forward_arguments_, backward_arguments_;
  memory diff_layer_, diff_iter_, diff_bias_;
};

}  // namespace

// in: x, attention, h0, w_layer, w_iter, bias, gradient of outputs. out: outputs, the last state, the gradients of x,
// attention and h0. The arrays must outlive the cell. Without `linear_before_reset` the reset comes before the product.
extern "C" void* augru_new(int64_t b, int64_t t, int64_t i, int64_t h, bool linear_before_reset, float* const* in,
                           float* const* out) {
  if (linear_before_reset) return new Cell<dnnl::lbr_augru_forward, dnnl::lbr_augru_backward>(b, t, i, h, 4, in, out);
  return new Cell<dnnl::augru_forward, dnnl::augru_backward>(b, t, i, h, 3, in, out);
}
extern "C" void augru_delete(void* cell) { delete static_cast<Augru*>(cell); }
extern "C" void augru_infer(void* cell) { static_cast<Augru*>(cell)->infer(); }
extern "C" void augru_train(void* cell) {
  static_cast<Augru*>(cell)->forward();
  static_cast<Augru*>(cell)->backward();
}
