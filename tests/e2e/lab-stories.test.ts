// The labs that show one plugin each: unattended, every promise kept, told in order, and nothing left behind. That is
// looked at from a sandbox around them, because nothing else changes there meanwhile.
import { describe, expect } from "bun:test";
import { tools } from "../../scripts/tools.ts";
import { Sandbox, testWith, WARREN } from "../support/sandbox.ts";

const TIMEOUT_MS = 60_000;

/** What each lab must say, in this order. */
const STORIES: Readonly<Record<string, readonly string[]>> = {
  "S2-14 trace": [
    '"type": "warren-bandwidth"',
    "$ warren add traced pod1",
    '"address": "192.168.201.1/24"',
    "$ cat /run/cni-calls.log",
    "CNI Command: ADD",
    '"prevResult":{',
    "----------------------",
    "-rw-------",
    "192.168.201.254 answered pod1",
    "$ warren del traced pod1",
    "1       ADD    traced",
    "2       DEL    traced",
    "one ADD and one DEL",
    "$ warren replay /run/cni-calls.log --index 1",
    '"address": "192.168.201.1/24"',
    "no leases",
    "interfaces:  lo, lab0",
    "nft chains:  none",
  ],
  "S4-11 fake-ip": [
    '"type": "warren-rewrite"',
    "$ warren add fake-ip pod1",
    '"address": "1.2.3.4/24"',
    "$ warren reveal pod1",
    "1.2.3.4/24   10.202.0.1/24   differs",
    "10.202.0.254 answered pod1",
    "10.202.0.1 answered the host",
    "1.2.3.4 does not answer",
    "(exit code 1)",
    "no leases",
    "interfaces:  lo, lab0",
  ],
  "S1-21 multi-net": [
    '"masterplugin": true',
    "$ warren pair -c card0 -n lan,wire0,192.168.122.1/24",
    "Network multi-net is ready for ADD requests",
    "$ warren add multi-net pod1",
    '"address": "10.22.0.2/16"',
    "interfaces:  lo, net0, eth0",
    "wire      net0        192.168.122.203",
    "pods      eth0        10.22.0.2",
    "192.168.122.1 answered pod1",
    "10.22.0.1 answered pod1",
    "$ warren check multi-net pod1",
    "$ export CAP_ARGS='",
    "storage   san0        10.23.0.77",
    "interfaces:  lo, net0, eth0, san0",
    "requested IP address 10.23.0.77 is not available",
    "(exit code 1)",
    "interfaces:  lo",
    "from multi-net",
    "$ warren del multi-net pod1",
    "no leases",
    "interfaces:  lo, lab0, lab1",
    "nft chains:  none",
  ],
  "S1-26 pair": [
    '"type": "warren-pair"',
    "$ warren pod create primary",
    'link of "primary" and "pair" is pending',
    'waits for "pair"',
    "$ warren pod create pair",
    "up      veth   11",
    "in1    veth   up      1500   192.168.2.100/24",
    "in2    veth   up      1500   192.168.2.101/24",
    "192.168.2.101 answered primary",
    "5/5 replies from 192.168.2.101",
    "192.168.2.100 answered pair",
    "5/5 replies from 192.168.2.100",
    "$ warren pod rm pair",
    'waits for "pair"',
    "192.168.2.101 answered primary",
    "other   wires     eth0     10.22.0.2/16",
    "no links",
    "no leases",
    "interfaces:  lo, lab0",
  ],
  "S1-19 chain": [
    '"dst": "4.4.4.4/32"',
    "$ warren pod create right",
    "$ warren pod create left",
    "router1 in2    up      veth   13",
    "router2 mid2   up      veth   12",
    "right out2     up      veth   11",
    "$ warren lab ping 4.4.4.4 --from left --source 1.1.1.1",
    "4.4.4.4 answered left",
    "1.1.1.1 reaches 4.4.4.4: 5/5 replies",
    "1.1.1.1 answered right",
    "$ warren pod rm router1",
    'waits for "router1"',
    "4.4.4.4 does not answer",
    "(exit code 1)",
    "4.4.4.4 answered left",
    "no links",
    "no leases",
  ],
  "S1-08 two-nodes": [
    "$ warren pair -n node1,eth0,10.0.0.1/24 -n node2,eth0,10.0.0.2/24",
    "Network node1 is ready for ADD requests",
    "Network node2 is ready for ADD requests",
    "$ warren enter node1 -- warren announce node1 primary",
    "$ warren enter node2 -- warren announce node2 pair",
    '"mtu": 1450',
    "up      vxlan   11",
    "up      vxlan   11",
    "in1    vxlan   up      1450   192.168.2.100/24",
    "in2    vxlan   up      1450   192.168.2.101/24",
    "192.168.2.101 answered pod1",
    "192.168.2.100 answered pod2",
    "--bytes 1422 --whole",
    "192.168.2.101 answered pod1",
    "--bytes 1424 --whole",
    "the packet is too long for the way in one piece",
    "no links",
    "no links",
    "interfaces:  lo",
  ],
  // with wireguard where the kernel has it, and with vxlan elsewhere
  "S3-W06 mesh": [
    "$ warren add wire node1",
    '"address": "192.0.2.1/24"',
    "$ warren enter node1 -- warren node up",
    "made bridge warren0",
    "made masquerade of 10.244.1.0/24",
    "wrote conflist /run/lab/node1/net.d/10-mesh.conflist",
    "everything of this node is there",
    "added peer node2",
    "added peer node1",
    "known",
    '"address": "10.244.1.3/24"',
    '"address": "10.244.2.3/24"',
    "$ warren lab wire node1 eth0 -- warren lab ping 10.244.2.3 --from pod1",
    "10.244.2.3 answered pod1",
    "UDP          192.0.2.1   192.0.2.2",
    "on the wire there is only UDP between the nodes",
    "the packet is too long for the way in one piece",
    "ICMP         192.0.2.1     192.0.2.254",
    "added peer node3\n    left 1 peer as it was",
    "10.244.3.3 answered pod1",
    "left 1 peer as it was",
    "10.244.3.3 does not answer",
    "10.244.2.3 answered pod1",
    "namespace wg1 is missing",
    "network mesh is not ready: namespace wg1 is missing",
    "made namespace wg1",
    "10.244.2.3 answered pod1",
    "removed bridge warren0",
    "interfaces:  lo, eth0",
    "nft chains:  none",
    "no leases",
  ],
  "S3-W15 poc": [
    "interfaces:  lo, up0, up1",
    "$ warren node up --config /run/lab/poc/local.json",
    "made address 10.11.12.1/24 of br0",
    "port 28384",
    "made address 10.11.77.1/24 of br0",
    "port 28283",
    "added peer remote",
    '"address": "10.11.12.101/24"',
    '"address": "10.11.12.102/24"',
    '"address": "10.11.77.77/24"',
    "10.11.12.102 answered pod1",
    "10.11.12.101 answered the host",
    "10.11.77.77 answered pod1",
    "198.51.100.2 answered pod2",
    "removed bridge br0",
    "interfaces:  lo, up0, up1",
    "namespaces:  internet, remote",
    "nft chains:  none",
    "forwarding:  off",
    "interfaces, namespaces, rules, routes and forwarding are as they were",
  ],
  // its histograms are looked at in the virtual machine, where the kernel has netem
  "S3-L latency": [
    '"type": "warren-netem"',
    "$ warren add latency pod1",
    "60 echoes from pod1 to 192.168.205.254",
    "$ warren impair pod1 delay=40ms jitter=10ms distribution=normal",
    "$ warren del latency pod1",
    "no leases",
    "interfaces:  lo, lab0",
  ],
  "S3-Q02 quickack": [
    '"type": "warren-quickack"',
    "$ warren pod create quick --net ack --annotation enable-quickack=true",
    "$ warren probe client patient --only stall --count 20",
    "Rounds of write, write, read:",
    "rounds took the 40 ms that the server's kernel waits",
    "$ warren probe client quick --only stall --count 20",
    "rounds went through without a wait",
    "$ warren pod rm client patient quick",
    "no leases",
    "interfaces:  lo, lab0",
    "nft chains:  none",
  ],
  "S3-B01 shaping": [
    '"type": "warren-bandwidth"',
    "$ warren probe host free --only tcp",
    "$ warren probe host web --only tcp --seconds 2 --run-in 0.5",
    "20 Mbit/s to the pod and 5 from it",
    "$ warren probe host web --only udp --rate 40M",
    "% of the packets to the pod are lost",
    "no leases",
    "interfaces:  lo, lab0",
  ],
  "S3-C01 two-conflists": [
    '"name": "a"',
    '"name": "b"',
    "containerd takes 10-a.conflist (network a): the first of 2 files",
    "$ warren run -- warren leases",
    "a         10.203.1.2/24",
    "no leases",
    "$ warren run --all -- warren leases",
    "a         10.203.1.3/24",
    "b         10.203.2.2/24",
    "no leases",
    "00-broken.conflist: no JSON at line 1, column 53",
    "remove the comma in front of it",
    "$ mv /run/lab/net.d/00-broken.conflist /run/lab/net.d/30-broken.conflist",
    "a         10.203.1.4/24",
    "30-broken.conflist: no JSON at line 1, column 53",
    'network "a" is in 10-a.conflist and in 40-a-again.conflist',
    "no leases",
    "interfaces:  lo, lab0, lab1",
    "nft chains:  none",
  ],
};

/** All of a host that a lab could leave something in. */
async function traces(host: Sandbox): Promise<string> {
  return host.text([
    "sh",
    "-c",
    'ip -br link; ip netns; nft list tables; sort /proc/self/mounts; ls -AR /run /var/lib "$0"',
    host.directory,
  ]);
}

/** Returns those of the lines that are found, each behind the one before. */
function foundInOrder(text: string, lines: readonly string[]): string[] {
  let offset = 0;
  return lines.filter((line) => {
    const index = text.indexOf(line, offset);
    if (index >= 0) offset = index + line.length;
    return index >= 0;
  });
}

describe("the lab runs unattended, tells its story in order and leaves nothing", () => {
  for (const [title, lines] of Object.entries(STORIES)) {
    const name = title.split(" ")[1] ?? "";
    testWith(tools.program("ip"), tools.program("nft"))(
      title,
      async () => {
        await using host = await Sandbox.create();
        const before = await traces(host);
        const { exitCode, stdout, stderr } = await host.run([WARREN, "lab", name]);
        expect([stderr, exitCode]).toEqual(["", 0]);
        expect(foundInOrder(stdout, lines)).toEqual([...lines]);
        expect(await traces(host)).toBe(before);
      },
      TIMEOUT_MS,
    );
  }
});
