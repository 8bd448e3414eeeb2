// A libcuda.so.1 for machines without a GPU, so that cuDNN can be asked there: it compiles what it would run, and wants
// the code loaded before it takes a graph for built.  Here loading succeeds and is all that does; cuDNN looks for every
// name below.  cuda.h is not included: it gives some of the names other ones.
namespace {

enum Result { success = 0, no_device = 100 };
char loaded;  // whose address stands for code

}  // namespace

extern "C" {

Result cuLibraryLoadData(void** library, const void* code) {
  *library = &loaded;
  return code == nullptr ? no_device : success;
}
Result cuLibraryGetKernel(void** kernel, void* library, const char* name) {
  *kernel = library;
  return name == nullptr ? no_device : success;
}
Result cuLibraryUnload(void* /*library*/) { return success; }

Result cuGetErrorString(Result error, const char** text) {
  *text = error == success ? "no error" : "there is no GPU behind this driver";
  return success;
}
Result cuGetErrorName(Result error, const char** text) { return cuGetErrorString(error, text); }

#define REFUSED(name) \
  Result name() { return no_device; }
REFUSED(cuInit)
REFUSED(cuDriverGetVersion)
REFUSED(cuDeviceGetCount)
REFUSED(cuDeviceGet)
REFUSED(cuCtxGetCurrent)
REFUSED(cuCtxGetLimit)
REFUSED(cuCtxPopCurrent)
REFUSED(cuCtxPushCurrent)
REFUSED(cuStreamGetCtx)
REFUSED(cuLinkCreate)
REFUSED(cuLinkAddData)
REFUSED(cuLinkComplete)
REFUSED(cuLinkDestroy)
REFUSED(cuLibraryLoadFromFile)
REFUSED(cuKernelSetAttribute)
REFUSED(cuKernelGetAttribute)
REFUSED(cuOccupancyMaxPotentialClusterSize)
REFUSED(cuLaunchKernel)
REFUSED(cuLaunchKernelEx)
REFUSED(cuLaunchCooperativeKernel)

}  // extern "C"
