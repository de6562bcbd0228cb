// Completion: what is offered behind each beginning of a call, and that the three shells offer it to who presses a key.
import { expect, test } from "bun:test";
import { mkdirSync, symlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { tools } from "../../scripts/tools.ts";
import { TestNode } from "../support/node.ts";
import { testWith, WARREN } from "../support/sandbox.ts";
import { TemporaryDirectory } from "../support/world.ts";

const node = await TestNode.create();
await node.populate();
for (const pod of ["one", "two"]) await node.succeed(["pod", "create", pod]);
// the namespaces of the sandbox end with the test's process
process.on("exit", () => void node[Symbol.asyncDispose]());

async function offered(...words: string[]): Promise<{ kind: string; words: string[] }> {
  const [kind = "", ...lines] = (await node.succeed(["complete", "--", ...words])).trimEnd().split("\n");
  return { kind, words: lines.map((line) => line.split("\t")[0] ?? "") };
}

test.each<[words: string[], expected: string[]]>([
  [["sta"], ["status"]],
  [["con"], ["conf"]],
  [["conf", "un"], ["undo"]],
  [["help", "conf", "do"], ["doctor"]],
  [["help", "leases", ""], []],
  [["leases", "--le"], ["--leaked"]],
  [
    ["add", ""],
    ["pods", "wire"],
  ],
  [["add", "w"], ["wire"]],
  [
    ["add", "pods", ""],
    ["db", "one", "rested", "tap", "two", "web"],
  ],
  [["add", "pods", "web", ""], []],
  [["add", "--ifname", "eth1", "p"], ["pods"]],
  [["gc", "pods", "web", "d"], ["db"]],
  [["run", "pods", "w"], ["wire"]],
  [
    ["pod", ""],
    ["create", "exec", "list", "rm"],
  ],
  [
    ["pod", "exec", ""],
    ["one", "two"],
  ],
  [["pod", "rm", "one", "t"], ["two"]],
  [["pod", "create", ""], []],
  [["pod", "create", "new", "--net", "wire", "--net", "p"], ["pods"]],
  [["conf", "add", "x.json", "--after", "warren-tu"], ["warren-tuning"]],
  [["conf", "add", "x.json", "--after=warren-tu"], ["--after=warren-tuning"]],
  [["conf", "add", "x.json", "--after", "=", "warren-tu"], ["warren-tuning"]],
  [["events", "--verb", "ST"], ["STATUS"]],
  [
    ["completion", ""],
    ["bash", "zsh", "fish"],
  ],
  [["bogus", ""], []],
  [["conf", "bogus", ""], []],
  [["add", "--cni-conf-dir", "/nowhere", ""], []],
])("behind %j stands one of %j", async (words, expected) => {
  expect(await offered(...words)).toEqual({ kind: "words", words: expected });
});

test("containers are those of the store, and none where there is no store", async () => {
  const { words } = await offered("show", "");
  const leases: { container: string }[] = JSON.parse(await node.succeed(["leases", "--json"]));
  expect(words.sort()).toEqual([...new Set(leases.map(({ container }) => container))].sort());
  expect(await offered("show", "--data-dir", "/nowhere", "")).toEqual({ kind: "words", words: [] });
});

test.each([
  [["conf", "doctor", ""], "folders"],
  [["leases", "--data-dir", ""], "folders"],
  [["conf", "fuse", "x"], "files"],
  [["map", "--svg", ""], "files"],
  [["run", "pods", "--", "ip"], "commands"],
  [["run", "pods", "--", "ip", "a"], "commands"],
  [["pod", "exec", "one", "--", "ip"], "commands"],
])("behind %j stand %s", async (words, kind) => {
  expect(await offered(...words)).toEqual({ kind, words: [] });
});

test("hidden commands are not offered, all others are", async () => {
  const { words } = await offered("");
  expect(words).not.toContain("enter");
  expect(words).toContain("help");
  expect(words).toContain("completion");
});

/** What a person sees who types `keys` into the shell; `settled` is what has to be there before the next keys. */
async function typed(
  shell: readonly string[],
  setUp: string,
  keys: readonly string[],
  settled: RegExp,
): Promise<string> {
  using directory = new TemporaryDirectory();
  const bin = join(directory.path, "bin");
  mkdirSync(bin);
  symlinkSync(WARREN, join(bin, "warren"));
  const server = join(directory.path, "tmux");
  const tmux = async (...args: string[]) =>
    new Response(
      Bun.spawn(["tmux", "-f", "/dev/null", "-S", server, ...args], { stderr: "ignore" }).stdout,
    ).text();
  const environment = [
    "env",
    "-i",
    `PATH=${bin}:${process.env.PATH}`,
    `HOME=${directory.path}`,
    "TERM=screen",
    "LANG=C.UTF-8",
  ];
  await tmux(
    "new-session",
    "-d",
    "-x",
    "100",
    "-y",
    "30",
    [...environment, `NETCONFPATH=${node.conf}`, ...shell].join(" "),
  );
  const until = async (wanted: RegExp): Promise<string> => {
    for (let tries = 0; tries < 200; tries++) {
      const screen = await tmux("capture-pane", "-p");
      if (wanted.test(screen)) return screen;
      await Bun.sleep(50);
    }
    throw new Error(`${wanted} never came: ${await tmux("capture-pane", "-p")}`);
  };
  try {
    await tmux("send-keys", "-l", `${setUp}; clear; echo re''ady`);
    await tmux("send-keys", "Enter");
    await until(/^ready$/m);
    for (const key of keys)
      await tmux("send-keys", ...(key.length > 1 && key !== "Tab" ? ["-l", key] : [key]));
    return await until(settled);
  } finally {
    await tmux("kill-server");
  }
}

const tmux = tools.program("tmux");
const EXPECTED = /warren conf doctor/;

testWith(tmux)(
  "bash completes a command within a command, and a network",
  async () => {
    const setUp = `PS1='> '; eval "$(warren completion bash)"`;
    await typed(["bash", "--norc", "-i"], setUp, ["warren conf doc", "Tab"], EXPECTED);
    await typed(["bash", "--norc", "-i"], setUp, ["warren leases wi", "Tab"], /warren leases wire/);
    await typed(
      ["bash", "--norc", "-i"],
      setUp,
      [`warren conf doctor ${dirname(node.conf)}/ne`, "Tab"],
      /net\.d\//,
    );
  },
  60_000,
);

testWith(tmux, tools.program("zsh"))(
  "zsh completes a command within a command, and says what words are",
  async () => {
    const setUp = `PS1='> '; autoload -U compinit; compinit -u; eval "$(warren completion zsh)"`;
    await typed(["zsh", "-f", "-i"], setUp, ["warren conf doc", "Tab"], EXPECTED);
    await typed(["zsh", "-f", "-i"], setUp, ["warren leases wi", "Tab"], /warren leases wire/);
    await typed(["zsh", "-f", "-i"], setUp, ["warren conf ", "Tab", "Tab"], /undo +-- Take back/);
    // as a file where zsh looks for functions
    const file = "mkdir ~/f; warren completion zsh >~/f/_warren; fpath=(~/f $fpath)";
    const loading = `PS1='> '; ${file}; autoload -U compinit; compinit -u`;
    await typed(["zsh", "-f", "-i"], loading, ["warren conf doc", "Tab"], EXPECTED);
  },
  60_000,
);

testWith(tools.program("fish"))("fish completes, and says what words are", async () => {
  using directory = new TemporaryDirectory();
  const bin = join(directory.path, "bin");
  mkdirSync(bin);
  symlinkSync(WARREN, join(bin, "warren"));
  const fish = async (line: string) => {
    const script = `warren completion fish | source; complete -C ${JSON.stringify(line)}`;
    const child = Bun.spawn(["fish", "--no-config", "-c", script], {
      env: { PATH: `${bin}:${process.env.PATH}`, HOME: directory.path, NETCONFPATH: node.conf },
    });
    return (await new Response(child.stdout).text()).trimEnd().split("\n");
  };
  expect(await fish("warren conf doc")).toEqual([
    "doctor\tTell which config a runtime takes, and what is wrong in the folder",
  ]);
  expect(await fish("warren leases ")).toEqual(["pods\t10-pods.conflist", "wire\t20-wire.conflist"]);
  expect(await fish("warren leases --leak")).toEqual([
    "--leaked\tOnly leases whose container's namespace is gone",
  ]);
});
