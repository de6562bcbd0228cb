// Before any test: the executable in dist/bin is as new as the sources. WARREN_NO_BUILD=1 leaves what is there, for
// working on unit tests while the sources don't compile.
import { ensureBuilt } from "../../scripts/current-build.ts";

if (process.env.WARREN_NO_BUILD !== "1") ensureBuilt();
