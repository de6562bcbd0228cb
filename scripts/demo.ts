// What `npm run demo` runs: builds the executable if it is missing or older than what it is made of, and plays the
// lab of STATUS and GC. The lab's exit code and signals are this program's own.
import { EXECUTABLE, ensureBuilt } from "./current-build.ts";

ensureBuilt();
const lab = Bun.spawn([EXECUTABLE, "lab", "status-gc"], { stdio: ["inherit", "inherit", "inherit"] });
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => lab.kill(signal));
// for an end by a signal it is what a shell would say, 128 and the signal's number
process.exit(await lab.exited);
