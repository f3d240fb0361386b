// Required by the node that runs Azurite: whoever started it holds the other end of its standard input, and however
// that process ends, the pipe closes. Nothing is left behind even after a kill -9.
process.stdin.on("end", () => process.exit(0)).on("error", () => process.exit(0)).resume();
