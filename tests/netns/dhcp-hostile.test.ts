// The DHCP daemon among those that mean it no good, or make mistakes: files in its way, a store that takes nothing, clients
// that lead it astray, and servers that say what can't be.
import { expect } from "bun:test";
import { join } from "node:path";
import { DhcpSite, network, udhcpd } from "../support/dhcp.ts";
import { succeed } from "../support/plugins.ts";
import { testWith, WARREN } from "../support/sandbox.ts";
import { seenLink } from "../support/witness.ts";

const POD = { containerId: "pod-1", netns: "pod1" };
const withServer = testWith(udhcpd);
/** Renewed every second. */
const OFTEN = ["option lease 600", "option 0x3a 00000001"];

withServer("a daemon that is refused takes nothing away that is not its own", async () => {
  await using site = await DhcpSite.create();
  const { host } = site;
  const [device, link, pidfile] = ["/run/device", "/run/link", join(host.directory, "pid")] as const;
  await host.text(["sh", "-ec", `mknod ${device} c 1 3; ln -s /run/nowhere ${link}`]);
  for (const path of [device, link]) {
    const refused = await host.run([WARREN, "dhcp", "daemon", "-socketpath", path]);
    expect(refused).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining(`${path} is there already, and no socket`),
    });
  }
  expect(await host.text(["stat", "-c", "%F", device, link])).toBe("character special file\nsymbolic link\n");

  await site.keep(["-pidfile", pidfile]);
  const second = await host.run([WARREN, "dhcp", "daemon", "-pidfile", pidfile]);
  expect(second).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("at /run/cni/dhcp.sock") });
  expect(Number(await Bun.file(pidfile).text())).toBe(await site.daemonPid());
});

withServer("a store that takes nothing ends no lease", async () => {
  await using site = await DhcpSite.create();
  const { host } = site;
  await site.serve(OFTEN);
  await site.keep();
  const { document } = await succeed(host, "ADD", network(), POD);
  await site.sql(
    "CREATE TRIGGER full BEFORE UPDATE ON dhcp_leases BEGIN SELECT RAISE(ABORT, 'no room'); END",
  );
  await site.hears(/warning: .*no room[\s\S]*renewed 10/);
  await succeed(host, "CHECK", { ...network(), prevResult: document }, POD);
  expect((await seenLink(host, "eth0", "pod1"))?.flags).toContain("UP");
});

withServer("a namespace that can't be looked at ends neither daemon nor lease", async () => {
  await using site = await DhcpSite.create();
  const { host } = site;
  await site.serve();
  await site.keep();
  await host.text(["ln", "-s", "netns", "/run/alias"]);
  await succeed(host, "ADD", network(), { ...POD, netns: "/run/alias/pod1" });
  await host.text(["ln", "-sfn", "alias", "/run/alias"]);
  await site.hears(/warning: .*ELOOP/);
  await host.text(["ln", "-sfn", "netns", "/run/alias"]);
  await succeed(host, "STATUS", network());
  expect(await site.leases()).toMatchObject([{ state: "leased" }]);
});
