# Ends the build in one line that begins with "recops:". The indent keeps CMake from wrapping it.
function(recops_fail reason)
  message(FATAL_ERROR "\n  recops: ${reason}\n")
endfunction()
