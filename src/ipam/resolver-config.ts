// A resolver configuration file (resolv.conf(5)) as DNS settings of a result.
import { CniError, describeError, ErrorCode } from "../cni/error.ts";
import type { Dns } from "../cni/result.ts";
import { readText } from "../sys/files.ts";

/** Returns the settings in the text of a resolver configuration; the last domain and search list count. */
function parseResolverConfig(text: string): Dns {
  const nameservers: string[] = [];
  const options: string[] = [];
  let domain: string | undefined;
  let search: string[] | undefined;
  for (const line of text.split("\n")) {
    const trimmed = line.trim();
    if (trimmed === "" || trimmed.startsWith("#") || trimmed.startsWith(";")) continue;
    const [keyword, ...values] = trimmed.split(/\s+/);
    const [value] = values;
    if (value === undefined) continue;
    if (keyword === "nameserver") nameservers.push(value);
    else if (keyword === "domain") domain = value;
    else if (keyword === "search") search = values;
    else if (keyword === "options") options.push(...values);
  }
  return {
    ...(nameservers.length === 0 ? {} : { nameservers }),
    ...(domain === undefined ? {} : { domain }),
    ...(search === undefined ? {} : { search }),
    ...(options.length === 0 ? {} : { options }),
  };
}

/** Returns the settings in the file at `path`; throws CniError 5 if it can't be read. */
export function readResolverConfig(path: string): Dns {
  try {
    return parseResolverConfig(readText(path));
  } catch (error) {
    throw new CniError(
      ErrorCode.ioFailure,
      `ipam: resolvConf ${JSON.stringify(path)} can't be read: ${describeError(error)}`,
      "name a file such as /etc/resolv.conf, or leave resolvConf out",
      { cause: error },
    );
  }
}
