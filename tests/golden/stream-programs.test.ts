// The programs that the kernel runs for `warren snoop --streams`: the instructions as it takes them (linux/bpf.h), and for both
// kinds of machines where they look. That they do what they should only the kernel can tell: e2e/snoop-streams.
import { expect, test } from "bun:test";
import { copyingProgram, MACHINES, markingProgram } from "../../src/net/watch/stream-programs.ts";
import { assemble, exit, jump } from "../../src/sys/bpf-assembly.ts";

const MAPS = { marked: 3, scratch: 4, ring: 5 };

/** Operation, registers, offset, value. */
const MARKING = [
  "79 12 0800 00000000", // r2 = *(u64 *)(r1 + 8)
  "79 17 0000 00000000", // r7 = *(u64 *)(r1 + 0)
  "15 02 0300 3b000000", // if r2 == 59 goto +3
  "15 02 0900 42010000", // if r2 == 322 goto +9
  "b7 00 0000 00000000", // r0 = 0
  "95 00 0000 00000000", // exit
  "bf a1 0000 00000000", // r1 = r10
  "07 01 0000 f0ffffff", // r1 += -16
  "b7 02 0000 08000000", // r2 = 8
  "bf 73 0000 00000000", // r3 = r7
  "07 03 0000 60000000", // r3 += 96
  "85 00 0000 71000000", // call probe_read_kernel
  "05 00 0600 00000000", // goto +6
  "bf a1 0000 00000000", // r1 = r10
  "07 01 0000 f0ffffff", // r1 += -16
  "b7 02 0000 08000000", // r2 = 8
  "bf 73 0000 00000000", // r3 = r7
  "07 03 0000 38000000", // r3 += 56
  "85 00 0000 71000000", // call probe_read_kernel
  "85 00 0000 0e000000", // call get_current_pid_tgid
  "77 00 0000 20000000", // r0 >>= 32
  "63 0a fcff 00000000", // *(u32 *)(r10 + -4) = r0
  "79 a7 f0ff 00000000", // r7 = *(u64 *)(r10 + -16)
  "b7 08 0000 00000000", // r8 = 0
  "bf a1 0000 00000000", // r1 = r10
  "07 01 0000 e8ffffff", // r1 += -24
  "b7 02 0000 08000000", // r2 = 8
  "bf 73 0000 00000000", // r3 = r7
  "85 00 0000 70000000", // call probe_read_user
  "55 00 1b00 00000000", // if r0 != 0 goto +27
  "79 a3 e8ff 00000000", // r3 = *(u64 *)(r10 + -24)
  "15 03 1900 00000000", // if r3 == 0 goto +25
  "bf a1 0000 00000000", // r1 = r10
  "07 01 0000 d8ffffff", // r1 += -40
  "b7 02 0000 0c000000", // r2 = 12
  "85 00 0000 70000000", // call probe_read_user
  "55 00 1100 00000000", // if r0 != 0 goto +17
  "79 a1 d8ff 00000000", // r1 = *(u64 *)(r10 + -40)
  "18 02 0000 434e495f  00 00 0000 434f4d4d", // r2 = "CNI_COMM" ll
  "5d 21 0d00 00000000", // if r1 != r2 goto +13
  "61 a1 e0ff 00000000", // r1 = *(u32 *)(r10 + -32)
  "55 01 0b00 414e443d", // if r1 != 1027886657 goto +11
  "7a 0a f0ff 00000000", // *(u64 *)(r10 + -16) = 0
  "18 11 0000 03000000  00 00 0000 00000000", // r1 = map 3
  "bf a2 0000 00000000", // r2 = r10
  "07 02 0000 fcffffff", // r2 += -4
  "bf a3 0000 00000000", // r3 = r10
  "07 03 0000 f0ffffff", // r3 += -16
  "b7 04 0000 01000000", // r4 = 1
  "85 00 0000 02000000", // call map_update_elem
  "b7 00 0000 00000000", // r0 = 0
  "95 00 0000 00000000", // exit
  "07 07 0000 08000000", // r7 += 8
  "07 08 0000 01000000", // r8 += 1
  "a5 08 dfff 00040000", // if r8 < 1024 goto -33
  "18 11 0000 03000000  00 00 0000 00000000", // r1 = map 3
  "bf a2 0000 00000000", // r2 = r10
  "07 02 0000 fcffffff", // r2 += -4
  "85 00 0000 03000000", // call map_delete_elem
  "b7 00 0000 00000000", // r0 = 0
  "95 00 0000 00000000", // exit
];

function words(program: Uint8Array): string[] {
  return [...program.toHex().matchAll(/.{16}/g)].map(([word]) => word);
}

test("the program that marks plugins, instruction by instruction", () => {
  expect(markingProgram(MAPS, MACHINES.x64).toHex()).toBe(MARKING.join("").replaceAll(" ", ""));
});

test("on another machine only registers and numbers of system calls differ", () => {
  const other = words(markingProgram(MAPS, MACHINES.arm64));
  const differing = words(markingProgram(MAPS, MACHINES.x64)).flatMap((word, index) =>
    word === other[index] ? [] : [[word, other[index]]],
  );
  expect(differing).toEqual([
    ["150203003b000000", "15020300dd000000"], // if r2 == execve
    ["1502090042010000", "1502090019010000"], // if r2 == execveat
    ["0703000060000000", "0703000010000000"], // dx, regs[2]
    ["0703000038000000", "0703000018000000"], // r10, regs[3]
  ]);
});

test("the program that copies has what it needs of each machine", () => {
  const x64 = words(copyingProgram(MAPS, MACHINES.x64));
  const arm64 = words(copyingProgram(MAPS, MACHINES.arm64));
  for (const [program, expected] of [
    [x64, ["0703000078000000", "0703000070000000", "0703000068000000"]], // orig_ax, di, si
    [arm64, ["0703000018010000", "0703000010010000", "0703000008000000"]], // syscallno, orig_x0, regs[1]
  ] as const) {
    expect(program.filter((word) => word.startsWith("07030000")).slice(0, 3)).toEqual([...expected]);
    // r1 = marked, scratch, and the ring three times
    expect(program.filter((word) => word.startsWith("1811")).map((word) => word.slice(8, 10))).toEqual([
      "03",
      "04",
      "05",
      "05",
      "05",
    ]);
  }
  // read and write, to where they are told apart
  expect(x64.slice(34, 36)).toEqual(["15011c0000000000", "15011e0001000000"]);
  expect(arm64.slice(34, 36)).toEqual(["15011b003f000000", "15011d0040000000"]);
});

test("a jump leads over what is between, back as well, and nowhere is an error", () => {
  expect(words(assemble(["start", jump("end"), jump("start"), "end", exit]))).toEqual([
    "0500010000000000", // goto +1
    "0500feff00000000", // goto -2
    "9500000000000000", // exit
  ]);
  expect(() => assemble([jump("nowhere")])).toThrow("no label nowhere");
});
