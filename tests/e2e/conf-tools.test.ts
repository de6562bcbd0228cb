// The tools for a folder of configs, as an operator uses them: what they find and say, and what they leave in the files.
import { expect, test } from "bun:test";
import {
  chmodSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { Folder } from "../support/conf-files.ts";
import { PLUGIN_FOLDER } from "../support/plugins.ts";
import { Sandbox, WARREN } from "../support/sandbox.ts";

const SAMPLES = resolve(import.meta.dir, "../../conf");

interface FoundByDoctor {
  readonly severity: string;
  readonly file: string;
  readonly line?: number;
  readonly column?: number;
  readonly message: string;
  readonly cure: string;
}

/** Returns what the doctor finds, each as `severity file:line:column message; cure`. */
async function findings(folder: Folder): Promise<string[]> {
  const { stdout } = await folder.conf("doctor", "--json");
  const found: FoundByDoctor[] = JSON.parse(stdout).findings;
  return found.map(({ severity, file, line, column, message, cure }) => {
    const name = file.replace(`${folder.net}/`, "");
    return `${severity} ${name}${line === undefined ? "" : `:${line}:${column}`} ${message}; ${cure}`.replaceAll(
      folder.path,
      "",
    );
  });
}

const bridge = (name: string, keys: object = {}, others: object[] = []) => ({
  cniVersion: "1.1.0",
  name,
  plugins: [{ type: "warren-bridge", bridge: `br-${name}`, ...keys }, ...others],
});
const ipam = (subnet: string, keys: object = {}) => ({ ipam: { type: "warren-ipam", subnet, ...keys } });
const PORTMAP = { type: "warren-portmap", capabilities: { portMappings: true } };
const ALL = readdirSync(PLUGIN_FOLDER).filter((name) => name.startsWith("warren-"));

test.each(readdirSync(SAMPLES).filter((name) => name.endsWith(".conflist")))(
  "S3-P05 the doctor finds no fault with the sample %s",
  async (sample) => {
    const text = readFileSync(join(SAMPLES, sample), "utf8");
    using folder = new Folder({ [sample]: text }, ALL);
    expect(await findings(folder)).toEqual([]);
    const { exitCode, stdout } = await folder.conf("doctor");
    expect(stdout).toBe(
      `containerd takes ${sample} (network ${JSON.parse(text).name}): the only file\nnothing to find fault with\n`,
    );
    expect(exitCode).toBe(0);
  },
);

test("samples can stand side by side: no two have a subnet or a bridge in common", async () => {
  const own = readdirSync(SAMPLES).filter((name) => name.endsWith(".conflist") && !name.startsWith("lab-"));
  using folder = new Folder(
    Object.fromEntries(own.map((name) => [name, readFileSync(join(SAMPLES, name), "utf8")])),
    ALL,
  );
  expect(own.length).toBeGreaterThan(25);
  expect(await findings(folder)).toEqual([]);
});

test("S3-P05 what is wrong in a plugin is told with line, column and the nearest spelling", async () => {
  using folder = new Folder(
    {
      "10-a.conflist": `{
  "cniVersion": "1.0.0",
  "name": "a",
  "disabelGC": true,
  "plugins": [
    {
      "type": "warren-bridge",
      "isGatway": true,
      "mtu": "1500",
      "mtu": "1400",
      "capabilities": { "mac": true, "portMapings": true },
      "ipam": { "type": "warren-ipam", "subnet": "10.88.0.1/16", "exlude": [] },
      "tuning": { "sysctl": [], "mtuu": 3 }
    },
    { "type": "warren-portmap" },
    { "type": "warren-brige" }
  ]
}`,
    },
    ALL,
  );
  expect(await findings(folder)).toEqual([
    'note 10-a.conflist:2:3 cniVersion 1.0.0 has no STATUS, no GC: runtimes never call them for this network; set "cniVersion": "1.1.0" if the runtime speaks it',
    'warning 10-a.conflist:4:3 runtimes know no key "disabelGC" of a list, and pass over it; did you mean "disableGC"?',
    'warning 10-a.conflist:8:7 warren-bridge knows no key "isGatway", and passes over it; did you mean "isGateway"?',
    'warning 10-a.conflist:10:7 the key "mtu" stands here for the second time, and only the last one counts; remove one of them',
    'error 10-a.conflist:10:7 warren-bridge: "mtu" is "1400"; expected a number',
    'warning 10-a.conflist:11:38 warren-bridge does not know the capability "portMapings": what a runtime hands over is lost; did you mean "portMappings"?',
    'error 10-a.conflist:12:7 invalid range set 0: Network has host bits set. For a subnet mask of length 16 the network address is 10.88.0.0; subnet is "10.88.0.1/16"',
    'error 10-a.conflist:12:66 warren-ipam: unknown key "ipam.exlude"; did you mean "exclude"?',
    'error 10-a.conflist:13:19 warren-bridge, key "tuning": "sysctl" is []; expected an object',
    'warning 10-a.conflist:13:33 warren-tuning knows no key "mtuu", and passes over it; did you mean "mtu"?',
    'warning 10-a.conflist:15:7 warren-portmap does not declare the capability "portMappings", so that it never gets any; add "capabilities": {"portMappings": true}',
    'error 10-a.conflist:16:7 failed to find plugin "warren-brige" in path [/bin]; did you mean "warren-bridge"?',
  ]);
  expect((await folder.conf("doctor")).exitCode).toBe(1);
});

test("S3-P05 the doctor looks into the store of an address plugin, and repeats nothing that may be secret", async () => {
  const lines = (store: string) => `{
  "cniVersion": "1.1.0", "name": "a",
  "plugins": [{ "type": "warren-bridge", "bridge": "a", "ipam": { "type": "warren-ipam", "subnet": "10.1.0.0/24", "store":
${store}
  }}]
}`;
  const place = '"host": "db", "user": "u", "database": "d"';
  for (const [store, ...expected] of [
    [
      `{ "postgres": { ${place}, "prot": 5432,\n"statementTimeoutSeconds": "3",\n"tls": { "mode": "on", "cafile": "/nowhere/ca" } } }`,
      'error 10-a.conflist:4:61 the key "store": unknown key "postgres.prot"; did you mean "port"?',
      'error 10-a.conflist:5:1 the key "store": "postgres.statementTimeoutSeconds" is "3"; expected a number',
      'error 10-a.conflist:6:10 the key "store": "postgres.tls.mode" is "on"; expected "disable" or "prefer" or "require" or "verify-ca" or "verify-full"',
      'error 10-a.conflist:6:24 the key "store": the file that "postgres.tls.caFile" names can\'t be read: ',
    ],
    [
      `{ "postgres": { ${place},\n"passwordFile": "/nowhere/password" } }`,
      'error 10-a.conflist:5:1 the key "store": the file that "postgres.passwordFile" names can\'t be read: open /nowhere/password: ENOENT',
    ],
    [
      `{ "postgres": { ${place},\n"password": "hunter2" } }`,
      "error 10-a.conflist:5:1 store.postgres has a password in it, and runtimes keep copies of configs; put it into a file that only root can read, and name that as passwordFile",
    ],
    [
      '"postgres://u:hunter2@db/d"',
      'error 10-a.conflist:3:115 the key "store": it is something else, which is not repeated because it may be secret; expected an object',
    ],
    [
      '{ "postgres": { "host": "postgres://u:hunter2@db/d", "user": "u", "database": "d", "passwordFile": "hunter2" } }',
      'error 10-a.conflist:4:17 the key "store": "postgres.host" is something else, which is not repeated because it may be secret; expected a name, an address or an absolute path',
      'error 10-a.conflist:4:84 the key "store": "postgres.passwordFile" is something else, which is not repeated because it may be secret; expected an absolute path',
    ],
  ] as const) {
    using folder = new Folder({ "10-a.conflist": lines(store) }, ALL);
    const found = await findings(folder);
    expect(found).toHaveLength(expected.length);
    for (const [index, one] of expected.entries()) expect(found[index]).toStartWith(one);
  }
}, 30_000);

test("S3-P05 the doctor warns of a password that everybody can read", async () => {
  using folder = new Folder({}, ALL);
  const file = join(folder.path, "password");
  writeFileSync(file, "hunter2\n");
  const store = { postgres: { host: "db", user: "u", database: "d", passwordFile: file } };
  folder.write("10-a.conflist", bridge("a", ipam("10.88.0.0/24", { store })));
  const told: unknown[] = [];
  for (const mode of [0o600, 0o640, 0o644]) {
    chmodSync(file, mode);
    told.push((await findings(folder)).map((line) => line.replace(/^(\w+ \S+?):\d+:\d+/, "$1")));
  }
  const warning = `warning 10-a.conflist the key "store": everybody on this machine has access to the password (mode 0644); chmod 600 /password`;
  expect(told).toEqual([[], [], [warning]]);
});

test("S3-P05 the key mesh of a bridge is examined as warren-mesh in the chain is", async () => {
  const mesh = { confg: "/etc/warren/mesh.json", nodeCIDRs: ["10.88"] };
  using folder = new Folder(
    {
      "10-a.conflist": bridge("a", { ...ipam("10.88.0.0/24"), mesh }),
      "20-b.conflist": { cniVersion: "1.1.0", name: "b", plugins: [{ type: "warren-mesh", nodeCIDRs: [] }] },
    },
    ALL,
  );
  const found = (await findings(folder)).map((line) => line.replace(/^(\w+ \S+?):\d+:\d+/, "$1"));
  expect(found).toEqual([
    'warning 10-a.conflist warren-mesh knows no key "confg", and passes over it; did you mean "config"?',
    'error 10-a.conflist warren-bridge, key "mesh": "nodeCIDRs[0]" is "10.88"; expected a subnet, such as 10.244.1.0/24',
    "error 20-b.conflist warren-mesh is the first plugin, and works on what another one has made; put it behind a plugin that makes an interface",
    'error 20-b.conflist warren-mesh: "nodeCIDRs" is []; expected at least one',
  ]);
});

test("S3-P05 subnets that overlap, bridges that are shared, a version nobody speaks, a chained plugin in front", async () => {
  using folder = new Folder(
    {
      "10-a.conflist": bridge("a", ipam("10.88.0.0/16")),
      "20-b.conflist": bridge("b", ipam("10.88.4.0/24")),
      "30-c.conflist": bridge("c", { ...ipam("10.90.0.0/24", { rangeEnd: "10.90.0.99" }), bridge: "br0" }),
      "40-d.conflist": bridge("d", { ...ipam("10.90.0.0/24", { rangeStart: "10.90.0.100" }), bridge: "br0" }),
      "50-e.conflist": { ...bridge("e"), cniVersion: "1.9.0" },
      "60-f.conflist": { cniVersion: "1.1.0", name: "f", plugins: [{ type: "warren-firewall" }] },
    },
    ALL,
  );
  expect(await findings(folder)).toEqual([
    "error 20-b.conflist:8:7 10.88.4.0/24 (there 10.88.0.0/16) overlaps with network a (10-a.conflist): the host has two ways to one address; choose another subnet",
    "warning 40-d.conflist:7:7 bridge br0 is network c's too (30-c.conflist): their containers reach each other; give each network a bridge of its own, if that is not meant",
    'error 50-e.conflist:2:3 cniVersion "1.9.0" is none that Warren speaks; expected one of 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0',
    "error 50-e.conflist:6:7 /bin/warren-bridge speaks 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0, and not the list's version 1.9.0; lower cniVersion, or install a newer plugin",
    "error 60-f.conflist:6:7 warren-firewall is the first plugin, and works on what another one has made; put it behind a plugin that makes an interface",
  ]);
});

test("S3-P05 plugins of others are looked for and asked for their versions, and their keys are theirs", async () => {
  using folder = new Folder({
    "10-a.conflist": {
      cniVersion: "1.0.0",
      name: "a",
      plugins: [{ type: "flannel", anything: 1, capabilities: { whatever: true } }, { type: "silent" }],
    },
  });
  const script = (answer: string) => `#!/bin/sh\n[ "$CNI_COMMAND" = VERSION ] && echo '${answer}'\n`;
  for (const [name, answer] of [
    ["flannel", '{"cniVersion":"0.4.0","supportedVersions":["0.3.1","0.4.0"]}'],
    ["silent", "hello"],
  ] as const) {
    writeFileSync(join(folder.bin, name), script(answer), { mode: 0o755 });
  }
  const [, flannel, silent, ...more] = await findings(folder);
  expect(flannel).toStartWith(
    "error 10-a.conflist:6:7 /bin/flannel speaks 0.3.1, 0.4.0, and not the list's version 1.0.0",
  );
  expect(silent).toStartWith("error 10-a.conflist:13:7 /bin/silent does not answer VERSION");
  expect(more).toEqual([]);
});

test("S3-P05 a plugin that hands capabilities on to networks may declare any", async () => {
  const delegates = [
    { name: "b", type: "warren-bridge", capabilities: { ips: true }, ...ipam("10.1.0.0/24") },
  ];
  const plugins = [{ type: "warren-delegates", capabilities: { ips: true, whatever: true }, delegates }];
  using folder = new Folder({ "10-a.conflist": { cniVersion: "1.1.0", name: "a", plugins } }, ALL);
  expect(await findings(folder)).toEqual([]);
});

test.each<[name: string, text: string, place: string, cure: string]>([
  ["a.conflist", '{\n  "name": "a", // mine\n}', "2:16", "JSON has no comments: remove it"],
  ["a.conflist", '{\n  "name": "a",\n}', "3:1", "remove the comma in front of it"],
  ["a.conflist", "", "1:1", "the file is empty"],
  ["a.conflist", "{'name': 1}", "1:2", 'strings stand in double quotes: "'],
  ["a.conflist", '{"name": "a" "plugins": []}', "1:14", "a comma is missing in front of it"],
  ["a.conflist", '{"name": "a"', "1:13", "the file ends too early: a bracket or a brace is not closed"],
  ["a.conf", JSON.stringify(bridge("a")), "1:1", "it is a list: give the file the ending .conflist"],
  [
    "a.conflist",
    '{"name":"a","type":"warren-bridge"}',
    "1:1",
    "it is a single config: give the file the ending .conf",
  ],
])("S3-P05 %s with %j is broken at %s", async (name, text, place, cure) => {
  using folder = new Folder({ [name]: text }, ALL);
  const [first] = (await findings(folder)).filter((finding) => finding.startsWith("error"));
  expect(first).toStartWith(`error ${name}:${place} `);
  expect(first).toEndWith(`; ${cure}`);
  expect((await folder.conf("doctor")).exitCode).toBe(1);
});

test("the doctor looks into both networks of warren-pair, and names the keys that have no effect", async () => {
  const delegate = { type: "warren-bridge", brige: "br0", ...ipam("10.1.0.0/33") };
  const pair = { type: "warren-pair", etcd_host: "etcd", delegate, boot_network: { type: "warren-brigde" } };
  const list = { cniVersion: "1.1.0", name: "a", plugins: [pair] };
  using folder = new Folder({ "10-a.conflist": list }, ALL);
  expect(await findings(folder)).toEqual([
    expect.stringMatching(/^warning .* "etcd_host" has no effect: links are kept in the store; remove it$/),
    expect.stringMatching(/^warning .* warren-bridge knows no key "brige"/),
    expect.stringMatching(/^error .* subnet "10.1.0.0\/33" is not in CIDR notation/),
    expect.stringMatching(
      /^error .* failed to find plugin "warren-brigde" .*; did you mean "warren-bridge"\?$/,
    ),
  ]);
});

test("S3-C02 a broken file in front blocks containerd; behind it does not, and a name is still found", async () => {
  using folder = new Folder({ "00-broken.conf": '{\n "name": tru }', "10-a.conflist": bridge("a") }, ALL);
  const doctor = await folder.conf("doctor");
  expect(doctor.exitCode).toBe(1);
  expect(doctor.stdout).toContain(`${folder.net}/00-broken.conf:2:10: error: this is not JSON`);
  expect(doctor.stdout).toContain("containerd takes nothing: 00-broken.conf is broken");
  expect(JSON.parse((await folder.conf("list", "--json")).stdout).files).toMatchObject([
    { file: "00-broken.conf", use: "broken: containerd takes nothing", taken: false },
    { file: "10-a.conflist", use: "by name", taken: false },
  ]);
  expect((await folder.conf("show", "a")).stdout).toContain("10-a.conflist");
  expect((await folder.conf("show")).stderr).toContain("00-broken.conf is broken");

  renameSync(join(folder.net, "00-broken.conf"), join(folder.net, "30-broken.conf"));
  expect((await folder.conf("list")).stdout).toContain(
    "containerd takes 10-a.conflist (network a): the first of 2 files in the order of their names\n",
  );
  expect((await folder.conf("list", "--max-conf-num", "0")).stdout).toContain("containerd takes nothing");
});

test("S3-C03 two files of one name are told, and which of them is found", async () => {
  using folder = new Folder(
    {
      "10-a.conf": { cniVersion: "1.1.0", name: "a", type: "warren-loopback" },
      "20-a.conflist": bridge("a"),
    },
    ALL,
  );
  expect(await findings(folder)).toEqual([
    'error 10-a.conf:3:3 network "a" is in 20-a.conflist already, which is found first; both share one cache and one set of leases; give one of them another name, or remove it',
  ]);
  const { files } = JSON.parse((await folder.conf("list", "--json")).stdout);
  expect(files).toMatchObject([
    { file: "10-a.conf", use: "eth0 of every pod (containerd), hidden behind 20-a.conflist" },
    { file: "20-a.conflist", use: "by name" },
  ]);
  const { stdout } = await folder.conf("show", "a");
  expect(stdout).toContain(
    "lists are looked through before single configs, by name; 10-a.conf of the same name",
  );
});

test("conf show has drop-ins and the configs as plugins get them", async () => {
  using folder = new Folder(
    { "10-a.conflist": bridge("a"), "a/50-tune.conf": { type: "warren-tuning", mtu: 1400 } },
    ALL,
  );
  const shown = JSON.parse((await folder.conf("show", "--json")).stdout);
  expect(shown).toMatchObject({
    network: "a",
    file: join(folder.net, "10-a.conflist"),
    plugins: [
      { plugin: "warren-bridge", of: "Warren", from: join(folder.net, "10-a.conflist") },
      {
        plugin: "warren-tuning",
        executable: join(folder.bin, "warren-tuning"),
        from: join(folder.net, "a/50-tune.conf"),
        config: { cniVersion: "1.1.0", name: "a", type: "warren-tuning", mtu: 1400 },
      },
    ],
  });
});

test("S3-P01 add, remove and undo change one place of the file that containerd takes, and put it back", async () => {
  const text =
    '{ "cniVersion": "1.1.0", "name": "a", "zeta": 18446744073709551615,\n  "plugins": [ {"type":"warren-bridge"} ] }';
  using folder = new Folder({ "10-a.conflist": text, "20-b.conflist": bridge("b") }, ALL);
  const file = join(folder.net, "10-a.conflist");
  writeFileSync(join(folder.path, "plugin.json"), '{"type": "warren-tuning", "mtu": 1400}\n');
  const plugin = join(folder.path, "plugin.json");

  const dry = await folder.conf("add", plugin, "--dry-run");
  expect(folder.read("10-a.conflist")).toBe(text);
  expect(dry.stdout).toBe(
    text.replace(
      '{"type":"warren-bridge"}',
      '{"type":"warren-bridge"}, {"type": "warren-tuning", "mtu": 1400}',
    ),
  );
  expect((await folder.conf("add", plugin)).stdout).toBe(
    `${file}: the plugin is in the list; warren conf undo takes it back\n`,
  );
  expect(folder.read("10-a.conflist")).toBe(dry.stdout);
  expect((await folder.conf("add", plugin)).stdout).toBe(`${file}: nothing to change\n`);
  await folder.conf("add", '{"type":"warren-firewall"}', "--after", "warren-bridge", "--network", "a");
  expect(JSON.parse((await folder.conf("show", "--json")).stdout)).toMatchObject({
    undoable: 2,
    plugins: [{ plugin: "warren-bridge" }, { plugin: "warren-firewall" }, { plugin: "warren-tuning" }],
  });
  await folder.conf("remove", "warren-tuning", "--file", "10-a.conflist");
  // what is kept beside the file is no config to anybody
  expect(JSON.parse((await folder.conf("list", "--json")).stdout).files).toHaveLength(2);
  expect(await findings(folder)).toEqual([
    expect.stringMatching(/^warning 10-a.conflist:1:39 runtimes know no key "zeta" of a list/),
  ]);
  await folder.conf("undo");
  await folder.conf("undo");
  expect(folder.read("10-a.conflist")).toBe(dry.stdout);
  expect((await folder.conf("undo")).stdout).toBe(
    `${file}: as it was before the last edit; no more edits to take back\n`,
  );
  expect(folder.read("10-a.conflist")).toBe(text);
  expect(await folder.conf("undo")).toMatchObject({
    exitCode: 1,
    stderr: expect.stringContaining("written nothing"),
  });
  expect(readdirSync(folder.net).sort()).toEqual(["10-a.conflist", "20-b.conflist"]);
});

test("S2-13 a logger is put into a list in use and taken out again: every byte, the mode and a link are as before", async () => {
  const text =
    '{\n    "name": "cbr0",\n    "x-mine": 18446744073709551615,\n    "cniVersion": "1.0.0",\n    "plugins": [\n        {"type": "flannel"},\n        {"type": "portmap", "capabilities": {"portMappings": true}}\n    ]\n}\n';
  using folder = new Folder({}, ALL);
  const real = join(folder.path, "kept-elsewhere.conflist");
  writeFileSync(real, text);
  chmodSync(real, 0o640);
  symlinkSync(real, join(folder.net, "10-flannel.conflist"));
  const logger = JSON.stringify({ type: "warren-trace", cniOutput: "/var/log/cni-calls.log" });
  const add = () => folder.conf("add", logger, "--after", "flannel");
  expect((await add()).exitCode).toBe(0);
  const types = (JSON.parse(readFileSync(real, "utf8")).plugins as { type: string }[]).map(
    ({ type }) => type,
  );
  expect(types).toEqual(["flannel", "warren-trace", "portmap"]);
  expect((await add()).stdout).toContain("nothing to change");
  expect((await folder.conf("remove", "warren-trace")).exitCode).toBe(0);
  expect(readFileSync(real, "utf8")).toBe(text);
  expect(statSync(real).mode & 0o777).toBe(0o640);
  expect(lstatSync(join(folder.net, "10-flannel.conflist")).isSymbolicLink()).toBe(true);
  expect(readdirSync(folder.net)).toEqual(["10-flannel.conflist"]);
});

test.each<[what: string, plugins: object[], more: object, found: RegExp[]]>([
  [
    "in front of portmap",
    [{ type: "warren-rewrite" }, PORTMAP],
    { disableCheck: true },
    [/stands before warren-portmap/],
  ],
  ["last", [PORTMAP, { type: "warren-rewrite" }], { disableCheck: true }, []],
  ["with CHECK", [{ type: "warren-rewrite" }], {}, [/CHECK of this network fails/]],
  ["that only annotates", [{ type: "warren-rewrite", mode: "annotate-only" }], {}, []],
])(
  "S4-10 the doctor knows what made-up addresses do to the plugins around: rewrite %s",
  async (_, behind, more, found) => {
    using folder = new Folder({ "10-a.conflist": { ...bridge("a", {}, behind), ...more } }, ALL);
    expect(await findings(folder)).toEqual(found.map((message) => expect.stringMatching(message)));
  },
);

test("conf undo takes back what fuse --write wrote", async () => {
  using folder = new Folder({ "10-a.conflist": bridge("a", {}, [{ type: "warren-firewall" }]) }, ALL);
  const before = folder.read("10-a.conflist");
  await folder.conf("fuse", join(folder.net, "10-a.conflist"), "--write");
  expect(folder.read("10-a.conflist")).not.toBe(before);
  await folder.conf("undo");
  expect(folder.read("10-a.conflist")).toBe(before);
});

test("S3-P02 conf watch tells what is taken, and again when it is something else, and only then", async () => {
  using folder = new Folder({ "10-a.conflist": bridge("a") }, ALL);
  const child = folder.start("watch", "--json");
  const reader = child.stdout.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  const next = async (): Promise<{ networks: string[]; why: string }> => {
    while (!rest.includes("\n")) {
      const { value, done } = await reader.read();
      if (done) throw new Error(`watch ended: ${await new Response(child.stderr).text()}`);
      rest += decoder.decode(value);
    }
    const line = rest.slice(0, rest.indexOf("\n"));
    rest = rest.slice(line.length + 1);
    return JSON.parse(line);
  };
  try {
    expect((await next()).networks).toEqual(["a"]);
    // behind the first file: nothing that is taken changes
    folder.write("20-b.conflist", bridge("b"));
    await Bun.sleep(500);
    folder.write("05-c.conflist", bridge("c"));
    expect((await next()).networks).toEqual(["c"]);
    // another text under the same name
    folder.write("05-c.conflist", bridge("c", { mtu: 1400 }));
    expect((await next()).networks).toEqual(["c"]);
    folder.write("c/10-tune.conf", { type: "warren-tuning" });
    expect((await next()).networks).toEqual(["c"]);
    folder.write("c/10-tune.conf", { type: "warren-tuning", mtu: 1300 });
    expect((await next()).networks).toEqual(["c"]);
    folder.write("05-c.conflist", "{");
    const broken = await next();
    expect(broken.networks).toEqual([]);
    expect(broken.why).toContain("05-c.conflist is broken");
    expect(broken.why).toContain("line 1, column 2");
  } finally {
    child.kill();
    await child.exited;
  }
});

test.each<[args: string[], exitCode: number, message: string]>([
  [["add", "{}", "--first", "--last"], 2, "exclude each other"],
  [["add", "{}", "--file", "a", "--network", "b"], 2, "exclude each other"],
  [["add", "{}"], 1, 'expected an object with a "type"'],
  [["add", "/missing.json"], 1, "can't read /missing.json"],
  [["remove", "warren-bridge"], 1, "is its only plugin"],
  [["remove", "warren-ptp", "--network", "z"], 1, 'no network "z"'],
  [["list", "--max-conf-num", "many"], 1, "expected a whole number"],
  [["show", "z"], 1, 'no network "z"'],
])("conf %j is refused", async (args, exitCode, message) => {
  using folder = new Folder({ "10-a.conflist": bridge("a") }, ALL);
  const outcome = await folder.conf(...args);
  expect(outcome.stderr).toContain(message);
  expect(outcome.stderr.trim().split("\n")).toHaveLength(1);
  expect(outcome.exitCode).toBe(exitCode);
});

test("a network changes while it is used, and what was attached before is checked and deleted", async () => {
  await using sandbox = await Sandbox.create();
  using folder = new Folder({ "10-a.conflist": bridge("a", ipam("10.88.0.0/24")) }, ALL);
  await sandbox.addNetns("pod");
  const env = { NETCONFPATH: folder.net, CNI_PATH: folder.bin };
  await sandbox.text([WARREN, "add", "a", "pod"], { env });
  await sandbox.text([WARREN, "conf", "add", '{"type":"warren-firewall"}'], { env });
  await sandbox.text([WARREN, "status", "a"], { env });
  await sandbox.text([WARREN, "conf", "undo"], { env });
  await sandbox.text([WARREN, "check", "a", "pod"], { env });
  await sandbox.text([WARREN, "del", "a", "pod"], { env });
});
