// The first example of docs/mesh.md, pasted into shells of two nodes as it stands there.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type MeshNodeStage, MeshStage } from "../support/mesh.ts";
import { PLUGIN_FOLDER } from "../support/plugins.ts";
import { WARREN } from "../support/sandbox.ts";

const PAGE = join(import.meta.dir, "../../docs/mesh.md");

/** The machine's own folders are out of the way, and each node has its own. */
const OWN_FOLDERS =
  "for folder in /etc /run /var/lib; do mount -t tmpfs tmpfs $folder; done; mkdir /run/netns";

/** Starts a shell on the node that runs the lines, says so, and stays: the namespaces that it made go with it. */
function paste(node: MeshNodeStage, lines: string): Bun.Subprocess<Blob, "pipe", "pipe"> {
  const script = `${OWN_FOLDERS}\n${lines}\necho done; exec sleep 60`;
  return node.sandbox.start(
    ["nsenter", `--net=/run/netns/${node.name}`, "unshare", "--mount", "sh", "-ec", script],
    { env: { PATH: `${dirname(WARREN)}:${process.env.PATH}`, CNI_PATH: PLUGIN_FOLDER } },
  );
}

/** Returns what a shell wrote until it was done, or ended. */
async function output(shell: Bun.Subprocess<Blob, "pipe", "pipe">): Promise<string> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of shell.stdout) {
    text += decoder.decode(chunk, { stream: true });
    if (text.endsWith("done\n")) return text;
  }
  return text + (await new Response(shell.stderr).text());
}

test("S3-W05 the first example of docs/mesh.md works as it stands", async () => {
  const page = readFileSync(PAGE, "utf8");
  const [first, second] = [...page.matchAll(/```sh\n(.*?)```/gs)].map(([, lines = ""]) => lines);
  await using stage = await MeshStage.create(2);
  const shells = [];
  try {
    for (const [index, lines] of [first, second].entries()) {
      const shell = paste(stage.node(index + 1), lines ?? "");
      shells.push(shell);
      expect(await output(shell)).toEndWith("done\n");
    }
  } finally {
    for (const shell of shells) shell.kill("SIGKILL");
  }
}, 30_000);
