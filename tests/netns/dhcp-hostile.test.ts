// The DHCP daemon among those that mean it no good, or make mistakes: files in its way, a store that takes nothing, clients
// that lead it astray, and servers that say what can't be.
import { expect } from "bun:test";
import { join } from "node:path";
import { DhcpSite, udhcpd } from "../support/dhcp.ts";
import { testWith, WARREN } from "../support/sandbox.ts";

const withServer = testWith(udhcpd);

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
