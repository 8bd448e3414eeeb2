// A shard or a prepared file in which objects and attributes are others than the program writes: of other types and
// extents, links, filtered, missing.  The HDF5 library itself writes them, as the input says, so that all is sound for
// it and the project's own checks decide.
#include <fuzzer/FuzzedDataProvider.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/hdf5.h"
#include "support/fuzz.h"
#include "support/hdf5_files.h"

using namespace tessera;

namespace {

using Input = FuzzedDataProvider;
using hdf5::Handle;
namespace fs = std::filesystem;

const std::array shard_objects = {"/",
                                  "/tensors",
                                  "/tensors/model.norm.weight",
                                  "/tensors/model.norm.weight/master",
                                  "/tensors/model.norm.weight/exp_avg",
                                  "/tensors/model.embed_tokens.weight",
                                  "/tensors/model.embed_tokens.weight/exp_avg_sq",
                                  "/tensors/a\xff"};
const std::array shard_attributes = {"format",       "version",      "step",   "epoch", "samples_seen",
                                     "tokens_seen",  "world_size",   "rank",   "job",   "data",
                                     "model_config", "global_shape", "offset", "count", "xxh3"};
const std::array prepared_objects = {"/",
                                     "/tokens",
                                     "/labels",
                                     "/tokens_xxh3",
                                     "/sources",
                                     "/splits",
                                     "/splits/train",
                                     "/splits/train/start",
                                     "/splits/train/length",
                                     "/splits/train/supervised",
                                     "/splits/train/piece",
                                     "/splits/train/file",
                                     "/splits/train/line",
                                     "/splits/train/line_xxh3",
                                     "/splits/eval/start"};
const std::array prepared_attributes = {"format",  "version", "key", "summary", "vocab_size",
                                        "sources", "xxh3",    "0",   "1"};

Handle type_of(Input& input) {
  const std::array plain = {H5T_STD_I64LE, H5T_STD_I32LE,  H5T_STD_U64LE, H5T_IEEE_F32LE, H5T_STD_I8LE,
                            H5T_STD_U32BE, H5T_IEEE_F64BE, H5T_STD_I64BE, H5T_C_S1,       H5T_STD_REF_OBJ,
                            H5T_STD_B64LE, H5T_STD_I16LE,  H5T_STD_U8LE,  H5T_IEEE_F32BE};
  Handle type(H5Tcopy(input.PickValueInArray(plain)), H5Tclose);
  if (H5Tget_class(type.get()) == H5T_STRING) {
    H5Tset_size(type.get(), input.ConsumeBool() ? H5T_VARIABLE : input.ConsumeIntegralInRange<size_t>(1, 300));
    H5Tset_strpad(type.get(), input.PickValueInArray({H5T_STR_NULLTERM, H5T_STR_NULLPAD, H5T_STR_SPACEPAD}));
  } else if (input.ConsumeIntegralInRange(0, 9) == 0) {
    const hsize_t extent = input.ConsumeIntegralInRange<hsize_t>(1, 4);
    type =
        Handle(input.ConsumeBool() ? H5Tvlen_create(type.get()) : H5Tarray_create2(type.get(), 1, &extent), H5Tclose);
  }
  return type;
}

/// `largest`: elements in all, where they are going to be written.
Handle space_of(Input& input, hsize_t largest) {
  switch (input.ConsumeIntegralInRange(0, 6)) {
    case 0:
      return {H5Screate(H5S_NULL), H5Sclose};
    case 1:
      return {H5Screate(H5S_SCALAR), H5Sclose};
    case 2: {
      const std::array<hsize_t, 2> extents = {input.ConsumeIntegralInRange<hsize_t>(0, 3),
                                              input.ConsumeIntegralInRange<hsize_t>(0, largest / 4)};
      return {H5Screate_simple(2, extents.data(), nullptr), H5Sclose};
    }
    default: {
      const hsize_t extent = input.ConsumeIntegralInRange<hsize_t>(0, largest);
      return {H5Screate_simple(1, &extent, nullptr), H5Sclose};
    }
  }
}

/// Bytes for all elements of an attribute or data set; nothing where they would be pointers.
std::vector<uint8_t> value_of(Input& input, hid_t type, hid_t space) {
  if (H5Tdetect_class(type, H5T_VLEN) > 0 || H5Tis_variable_str(type) > 0 || H5Tget_class(type) == H5T_REFERENCE)
    return {};
  const hssize_t count = H5Sget_simple_extent_npoints(space);
  constexpr hssize_t enough = 5000;
  std::vector<uint8_t> bytes(count > 0 && count <= enough ? static_cast<size_t>(count) * H5Tget_size(type) : 0);
  if (input.ConsumeBool()) {
    std::fill(bytes.begin(), bytes.end(), input.ConsumeIntegral<uint8_t>());
  } else {
    const auto given = input.ConsumeBytes<uint8_t>(bytes.size());
    std::copy(given.begin(), given.end(), bytes.begin());
  }
  return bytes;
}

void put_attribute(Input& input, hid_t file, const char* object, const char* name) {
  H5Adelete_by_name(file, object, name, H5P_DEFAULT);
  if (input.ConsumeIntegralInRange(0, 7) == 0) return;
  const Handle type = type_of(input), space = space_of(input, 5000);
  const Handle attribute(
      H5Acreate_by_name(file, object, name, type.get(), space.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Aclose);
  if (attribute.get() < 0) return;
  const auto value = value_of(input, type.get(), space.get());
  const std::string text = input.ConsumeRandomLengthString(200);
  const char* pointer = text.c_str();
  if (!value.empty()) H5Awrite(attribute.get(), type.get(), value.data());
  if (H5Tis_variable_str(type.get()) > 0 && H5Sget_simple_extent_npoints(space.get()) == 1)
    H5Awrite(attribute.get(), type.get(), &pointer);
}

Handle creation_of(Input& input) {
  Handle creation(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  const hsize_t chunk = input.ConsumeIntegralInRange<hsize_t>(1, 64);
  switch (input.ConsumeIntegralInRange(0, 6)) {
    case 0:
      H5Pset_layout(creation.get(), H5D_COMPACT);
      break;
    case 1:
      H5Pset_chunk(creation.get(), 1, &chunk);
      break;
    case 2:
      H5Pset_chunk(creation.get(), 1, &chunk);
      if (input.ConsumeBool()) H5Pset_deflate(creation.get(), 1);
      if (input.ConsumeBool()) H5Pset_shuffle(creation.get());
      break;
    case 3:
      H5Pset_external(creation.get(), "/dev/zero", 0, H5F_UNLIMITED);
      break;
    default:
      break;
  }
  return creation;
}

void put_dataset(Input& input, hid_t file, const char* name) {
  H5Ldelete(file, name, H5P_DEFAULT);
  const bool written = input.ConsumeBool();
  const Handle type = type_of(input), space = space_of(input, written ? 300 : hsize_t{1} << 61),
               creation = creation_of(input);
  const Handle dataset(H5Dcreate2(file, name, type.get(), space.get(), H5P_DEFAULT, creation.get(), H5P_DEFAULT),
                       H5Dclose);
  if (dataset.get() < 0 || !written) return;
  const auto value = value_of(input, type.get(), space.get());
  if (!value.empty()) H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, value.data());
}

/// Another value of the same type, in place.
void put_elements(Input& input, hid_t file, const char* name) {
  const Handle dataset(H5Dopen2(file, name, H5P_DEFAULT), H5Dclose);
  if (dataset.get() < 0) return;
  const Handle type(H5Dget_type(dataset.get()), H5Tclose), space(H5Dget_space(dataset.get()), H5Sclose);
  if (H5Dget_storage_size(dataset.get()) > 4096) return;
  const auto value = value_of(input, type.get(), space.get());
  if (!value.empty()) H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, value.data());
}

void put_link(Input& input, hid_t file, const char* name, const char* other) {
  H5Ldelete(file, name, H5P_DEFAULT);
  switch (input.ConsumeIntegralInRange(0, 4)) {
    case 0:
      H5Lcreate_soft(other, file, name, H5P_DEFAULT, H5P_DEFAULT);
      break;
    case 1:
      H5Lcreate_external("/dev/shm/other.h5", other, file, name, H5P_DEFAULT, H5P_DEFAULT);
      break;
    case 2:
      H5Lcreate_hard(file, other, file, name, H5P_DEFAULT, H5P_DEFAULT);
      break;
    case 3:
      Handle(H5Gcreate2(file, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose);
      break;
    default:
      break;
  }
}

template <size_t N, size_t M>
void change(Input& input, const fs::path& path, const std::array<const char*, N>& objects,
            const std::array<const char*, M>& attributes) {
  const Handle file(H5Fopen(path.c_str(), H5F_ACC_RDWR, H5P_DEFAULT), H5Fclose);
  for (int changes = 0; changes < 8 && input.remaining_bytes() > 0; ++changes) {
    const char* const object = input.PickValueInArray(objects);
    switch (input.ConsumeIntegralInRange(0, 5)) {
      case 0:
        put_link(input, file.get(), object, input.PickValueInArray(objects));
        break;
      case 1:
        put_dataset(input, file.get(), object);
        break;
      case 2:
        put_elements(input, file.get(), object);
        break;
      default:
        put_attribute(input, file.get(), object, input.PickValueInArray(attributes));
    }
  }
}

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The sound files, made once; each run has its own copy.
struct Sound {
  fs::path checkpoint = step_directory(fuzz::folder(), 1);
  std::string shard, prepared;

  Sound() {
    fuzz::write_checkpoint(checkpoint);
    fuzz::write_prepared(fuzz::folder() / "prepared.h5");
    shard = bytes_of(checkpoint / shard_name(0, 1));
    prepared = bytes_of(fuzz::folder() / "prepared.h5");
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Sound sound;
  Input input(data, size);
  if (input.ConsumeBool()) {
    change(input, fuzz::put("prepared.h5", sound.prepared), prepared_objects, prepared_attributes);
    fuzz::read_prepared(fuzz::folder() / "prepared.h5");
  } else {
    change(input, fuzz::put("checkpoints/step-000001/" + shard_name(0, 1), sound.shard), shard_objects,
           shard_attributes);
    fuzz::write_manifest(sound.checkpoint);
    fuzz::read_checkpoint(sound.checkpoint);
  }
  return 0;
}
