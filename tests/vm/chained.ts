// The chained plugins with real packets: port maps from everywhere, over TCP and UDP and in both families; who may
// reach whom by a firewall's policy; and the limits of bandwidth by the counters of what they hold up.
import { succeed } from "../support/plugins.ts";
import type { Printed } from "../support/printed.ts";
import type { Sandbox } from "../support/sandbox.ts";
import { add, type Case, chained, network, pod, remove, same } from "./case.ts";
import { addOutside, ask, type Place, type Question, serve } from "./traffic.ts";

/** Who asks for a host port at which addresses, and what the pod's server sees as the address of whoever asks. */
const WAYS: readonly (readonly [from: Place, sees: Readonly<Record<string, string>>])[] = [
  // the world outside is seen as it is
  ["outside", { "192.0.2.1": "192.0.2.2", "2001:db8::1": "2001:db8::2" }],
  // and so is the host, but for its loopback, from where no answer would come back
  [
    undefined,
    {
      ...{ "127.0.0.1": "10.88.0.1", "192.0.2.1": "192.0.2.1", "10.88.0.1": "10.88.0.1" },
      ...{ "2001:db8::1": "2001:db8::1", "fd00:88::1": "fd00:88::1" },
    },
  ],
  // whoever is in the pod's own subnet, itself included, would be answered past the host
  ["pod1", { "192.0.2.1": "10.88.0.1", "10.88.0.1": "10.88.0.1", "2001:db8::1": "fd00:88::1" }],
  ["pod2", { "192.0.2.1": "10.88.0.1", "2001:db8::1": "fd00:88::1", "fd00:88::1": "fd00:88::1" }],
];

const PORTS = [
  { hostPort: 8080, containerPort: 80, protocol: "tcp" },
  { hostPort: 5353, containerPort: 53, protocol: "udp" },
];

/** Who may reach pod `one` on bridge br1, where `two` is too, under a policy. */
const POLICIES: Readonly<Record<string, readonly (readonly [from: Place, reaches: boolean])[]>> = {
  open: [
    ["two", true],
    ["other", true],
    ["outside", true],
    [undefined, true],
  ],
  "same-bridge": [
    ["two", true],
    ["other", false],
    ["outside", false],
    [undefined, true],
  ],
  isolated: [
    ["two", false],
    ["other", false],
    ["outside", false],
    [undefined, true],
  ],
};

/** A network on a bridge of its own with addresses in both families. */
function numbered(host: Sandbox, number: number) {
  return network(host, "warren-bridge", {
    ...{ name: `net${number}`, bridge: `br${number}`, isDefaultGateway: true },
    ipam: {
      type: "warren-ipam",
      ranges: [[{ subnet: `10.${number}.0.0/24` }], [{ subnet: `fd00:${number}::/64` }]],
    },
  });
}

export const CHAINED_CASES: readonly Case[] = [
  {
    name: "portmap leads from everywhere to the pod, in both families and protocols, until DEL",
    async run(host) {
      await addOutside(host);
      const lab = network(host, "warren-bridge", { isDefaultGateway: true, ipMasq: true });
      const chain = [lab, chained(host, "warren-portmap", { runtimeConfig: { portMappings: PORTS } })];
      const target = await pod(host, "pod1");
      await add(host, chain, target);
      await add(host, [lab], await pod(host, "pod2"));
      await using _ = await serve(host, "pod1", 80, 53);
      const addresses = WAYS.flatMap(([from, sees]) => Object.entries(sees).map((way) => [from, ...way]));
      const heard = await Promise.all(
        WAYS.map(([from, sees]) =>
          ask(
            host,
            from,
            Object.keys(sees).flatMap((address): Question[] => [
              `tcp ${address} 8080`,
              `udp ${address} 5353`,
            ]),
          ),
        ),
      );
      same(
        heard.flat(),
        addresses.flatMap(([, , sees]) => [`80 saw ${sees}`, `53 saw ${sees}`]),
      );
      // no other port leads anywhere, and none does to the other protocol
      same(await ask(host, "outside", ["tcp 192.0.2.1 80", "tcp 192.0.2.1 5353"]), ["refused", "refused"]);
      await remove(host, chain, target);
      same(await ask(host, "outside", ["tcp 192.0.2.1 8080", "tcp 2001:db8::1 8080"]), [
        "refused",
        "refused",
      ]);
    },
  },
  ...Object.entries(POLICIES).map(([policy, ways]) => ({
    name: `firewall with the policy ${policy} lets in whom it says, and everybody out`,
    async run(host: Sandbox) {
      await addOutside(host);
      const chain = [
        numbered(host, 1),
        chained(host, "warren-firewall", { name: "net1", ingressPolicy: policy }),
      ];
      const one = await add(host, chain, await pod(host, "one"));
      await add(host, chain, await pod(host, "two"));
      await add(host, [numbered(host, 2)], await pod(host, "other"));
      await using _pod = await serve(host, "one", 80);
      await using _outside = await serve(host, "outside", 80);
      const addresses: string[] = one.ips.map(({ address }: Printed) => address.split("/")[0]);
      const questions = addresses.map((address): Question => `tcp ${address} 80`);
      const asked = ways.map(async ([from]) => {
        const heard = await ask(host, from, questions);
        return [from, heard.map((answer) => answer.startsWith("80 saw"))];
      });
      same(
        await Promise.all(asked),
        ways.map(([from, reaches]) => [from, [reaches, reaches]]),
      );
      // what the pod begins is answered
      const out = await ask(host, "one", ["tcp 192.0.2.2 80", "tcp 2001:db8::2 80"]);
      same(
        out,
        addresses.map((address) => `80 saw ${address}`),
      );
    },
  })),
  {
    name: "bandwidth holds up what the pod receives and sends, each in a bucket of its own",
    async run(host) {
      const limits = {
        ...{ ingressRate: 8_000_000, ingressBurst: 160_000, egressRate: 4_000_000, egressBurst: 80_000 },
      };
      const chain = [
        network(host, "warren-bridge", { isDefaultGateway: true }),
        chained(host, "warren-bandwidth", { runtimeConfig: { bandwidth: limits } }),
      ];
      const result = await add(host, chain, await pod(host, "pod1"));
      await using _ = await serve(host, "pod1", 80);
      same(await ask(host, undefined, ["tcp 10.88.0.2 80", "tcp fd00:88::2 80"]), [
        "80 saw 10.88.0.1",
        "80 saw fd00:88::1",
      ]);
      const [, hostLink, , detour] = result.interfaces;
      const bucket = async (name: string) => {
        const all = (await host.json(["tc", "-json", "-s", "qdisc", "show", "dev", name])) as Printed[];
        const { kind, options, packets } = all.find(({ root }) => root === true);
        return [kind, options.rate * 8, options.burst * 8, packets > 5];
      };
      same(await bucket(hostLink.name), ["tbf", 8_000_000, 160_000, true]);
      same(await bucket(detour.name), ["tbf", 4_000_000, 80_000, true]);
      const filter = await host.text(["tc", "-s", "filter", "show", "dev", hostLink.name, "ingress"]);
      same(
        [filter.includes(`(Egress Redirect to device ${detour.name})`), /Sent [1-9]\d* bytes/.test(filter)],
        [true, true],
      );
      for (const config of chain)
        await succeed(
          host,
          "CHECK",
          { ...config, prevResult: result },
          { containerId: "pod1", netns: "pod1" },
        );
    },
  },
];
