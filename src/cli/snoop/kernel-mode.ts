// `warren snoop --kernel`: calls of plugins by the kernel's word alone. No runtime has to be told, and nothing stands
// between it and its plugins; what goes through their standard streams is seen only with --streams, which has the kernel
// run programs that copy it.
import { CniError, ErrorCode } from "../../cni/error.ts";
import { log } from "../../log.ts";
import { ProcessWatch, ProcessWatchError } from "../../net/watch/processes.ts";
import { StreamWatch, StreamWatchError } from "../../net/watch/streams.ts";
import { caughtRecord, outlineRecord, withMaskedSecrets } from "../../record/call-record.ts";
import { takePrecedence } from "../../sys/process.ts";
import { writeStdout } from "../../sys/stdio.ts";
import { rememberedNetwork } from "./called-program.ts";
import { withStreams } from "./caught-call.ts";
import { LiveCalls, type OutlinedCall, type Sign } from "./live-calls.ts";
import { canBeSelected, isSelected, type Selection } from "./selection.ts";
import { beginningOf, endingOf, streamsOf, type ViewOptions } from "./view.ts";

/** How long it waits for events before it looks whether it is to end. */
const WAIT_MS = 100;

/** What is shown, and where it is looked for. */
export interface KernelMode {
  readonly selection: Selection;
  readonly view: ViewOptions;
  readonly json: boolean;
  /** Standard streams, too. */
  readonly streams: boolean;
  readonly cacheFolder: string;
  /** Called when everything is in place; `summary` tells in a line what could not be seen, undefined for nothing. */
  readonly started: (summary: () => string | undefined) => void;
}

/** Shows calls until the process ends. Throws CniError 2 where the kernel tells, or copies for, nobody here. */
export async function watchByKernel(mode: KernelMode): Promise<never> {
  using watch = opened(ProcessWatch);
  using streams = mode.streams ? opened(StreamWatch) : undefined;
  // where many want the processor a plugin has ended before its turn: of 2000 programs 500, and so one
  takePrecedence();
  const calls = new LiveCalls();
  mode.started(() => {
    if (calls.unseen === 0) return undefined;
    const count = `${calls.unseen} of ${calls.executed} programs`;
    return `${count} had ended before they were looked at: calls may be among them`;
  });
  for (;;) {
    // no other thread waits, so that a program is looked at while it is there
    watch.wait(WAIT_MS);
    const signs: Sign[] = [];
    const ended: number[] = [];
    for (let heard = watch.next(); heard !== undefined; heard = watch.next()) {
      if (heard === "lost") {
        tellLoss(calls, mode.json);
        streams?.forgetEnded();
        continue;
      }
      for (const event of heard) {
        const sign = calls.take(event);
        if (sign !== undefined) signs.push(sign);
        if (event.kind === "exited") ended.push(event.pid);
        else if (event.kind === "executed") follow(event.pid, calls, streams);
      }
    }
    // whatever a process has moved is there when its end is heard of
    streams?.collect();
    for (const sign of signs) show(sign, mode, streams);
    for (const pid of ended) streams?.forget(pid);
    // lets signals through
    await Bun.sleep(0);
  }
}

/** What a plugin runs has its variables but is no call, and may write for as long as it likes. */
function follow(pid: number, calls: LiveCalls, streams: StreamWatch | undefined): void {
  if (calls.has(pid)) streams?.include(pid);
  else streams?.forget(pid);
}

function opened<Watch>(kind: { readonly open: () => Watch }): Watch {
  try {
    return kind.open();
  } catch (error) {
    if (!(error instanceof ProcessWatchError || error instanceof StreamWatchError)) throw error;
    throw new CniError(ErrorCode.unsupportedField, error.message, error.cure, { cause: error });
  }
}

function tellLoss(calls: LiveCalls, json: boolean): void {
  const dropped = calls.dropEnded();
  const ends = dropped === 0 ? "" : `; ${dropped} ended meanwhile, nobody knows how`;
  log.warn(`events were lost because too much happened at once: calls may be missing${ends}`);
  if (json) writeStdout(`${JSON.stringify({ time: new Date().toISOString(), lost: true, dropped })}\n`);
}

function show(
  { kind, call }: Sign,
  { selection, view, json, cacheFolder }: KernelMode,
  streams: StreamWatch | undefined,
): void {
  // whether it is wanted may not be known before it ends
  const isDeferred = selection.network !== undefined || selection.failed === true;
  if (kind === "began") {
    if (!json && !isDeferred && canBeSelected(call, selection)) writeStdout(beginningOf(call, view));
    return;
  }
  const heard = streams === undefined ? call : withStreams(call, streams.caught(call.more.pid));
  const known = withNetwork(heard, cacheFolder);
  if (!isSelected(known, selection)) return;
  if (json) writeStdout(lineOf(known, view.raw));
  else {
    const ending = known.caught === undefined ? endingOf(known, view) : streamsOf(known, view, known.caught);
    writeStdout(`${isDeferred ? beginningOf(known, view) : ""}${ending}`);
  }
}

function lineOf(call: OutlinedCall, raw: boolean): string {
  const { variables, stdin, more = call.more } = raw ? call : withMaskedSecrets(call);
  return new TextDecoder().decode(
    call.caught === undefined
      ? outlineRecord({ variables, more })
      : caughtRecord({ variables, stdin, more }, call.caught),
  );
}

function withNetwork(call: OutlinedCall, cacheFolder: string): OutlinedCall {
  if (call.more.network !== "") return call;
  return { ...call, more: { ...call.more, network: rememberedNetwork(cacheFolder, call.variables) } };
}
