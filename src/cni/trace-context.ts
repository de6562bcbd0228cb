// Where a call belongs in a distributed trace, as the W3C's Trace Context writes it into the variable TRACEPARENT. A call
// that is part of a trace is a span of it, and the plugins that it delegates to are spans below that one.

/** A span of a trace. */
export interface Span {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
  /** The span that it is part of. */
  readonly parentSpanId: string;
  /** Two hexadecimal digits; the lowest bit says that the trace is sampled. */
  readonly flags: string;
}

/** version-traceid-parentid-flags; a version that we don't know may say more behind a hyphen. */
const TRACEPARENT = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** Returns a new span below the one that `traceparent` names, or undefined where it names none that is valid. */
export function spanBelow(traceparent: string | undefined): Span | undefined {
  if (traceparent === undefined || traceparent === "") return undefined;
  const [, version = "", traceId = "", parentSpanId = "", flags = "", more] =
    TRACEPARENT.exec(traceparent) ?? [];
  if (version === "" || version === "ff" || (version === "00" && more !== undefined)) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(parentSpanId)) return undefined;
  return { traceId, spanId: newSpanId(), parentSpanId, flags };
}

/** Returns what a delegate finds in TRACEPARENT: this span is the one that it is part of. */
export function traceparentOf({ traceId, spanId, flags }: Span): string {
  return `00-${traceId}-${spanId}-${flags}`;
}

function newSpanId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  // zero means that there is none
  if (bytes.every((byte) => byte === 0)) bytes[7] = 1;
  return bytes.toHex();
}
