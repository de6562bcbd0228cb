// What must not be read in a record: passwords, tokens, keys, and the credentials inside addresses of databases. Only
// the secret itself is replaced, and all other bytes stay as they were: a record without secrets is what came, byte by
// byte. It works on text that is no proper JSON too, because what is broken is recorded as well.

/** What stands in the place of a secret. */
export const MASK = "***masked***";

/** Keys whose values are secret, without their hyphens and underscores. */
const SECRET_KEY =
  /passw(?:or)?d|passphrase|^pass$|^pwd$|secret|token|privatekey|presharedkey|^psk$|apikey|accesskey|credential|^authorization$/i;

/** `key=value` as in CNI_ARGS, in a query and in a list of connection parameters; a value may stand in quotes. */
const PAIR =
  /(?<![\w.-])(-*[A-Za-z][\w.-]*)(\s*=\s*)('[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"|[^\s;&,"']+)/g;

/** A string (or the half of one that the text ends in), a mark, or a bare word: all that JSON is made of. */
const TOKEN = /"[^"\\]*(?:\\[\s\S][^"\\]*)*(?:"|\\?$)|[{}[\]:,]|[^\s{}[\]:,"]+/g;

/** True if what has this name is secret. */
function isSecretKey(key: string): boolean {
  return SECRET_KEY.test(key.replace(/[-_.]/g, ""));
}

/** True of the path of a password's file and the name of its variable, which a call that is made again needs. */
function isPlaceOfSecret(key: string | undefined, value: string): boolean {
  if (key === undefined || !/^password(?:file|variable)$/i.test(key)) return false;
  return /^(?:\/.*|[A-Z_][A-Z0-9_]*)$/.test(value);
}

/** Returns a text with the secrets masked that show themselves: credentials in addresses, and `key=value`. */
export function maskText(text: string): string {
  return text
    .replace(/\S+/g, maskCredentials)
    .replace(PAIR, (pair, key: string, equals: string) =>
      isSecretKey(key) ? `${key}${equals}${MASK}` : pair,
    );
}

/** Masks the password in `scheme://user:password@...`; a password may have anything in it but a blank. */
function maskCredentials(word: string): string {
  const end = word.lastIndexOf("@");
  for (let scheme = word.indexOf("://"); scheme >= 0; scheme = word.indexOf("://", scheme + 3)) {
    const colon = word.indexOf(":", scheme + 3);
    if (colon < 0 || end < colon) return word;
    if (!/[@/]/.test(word.slice(scheme + 3, colon))) return word.slice(0, colon + 1) + MASK + word.slice(end);
  }
  return word;
}

/** Returns JSON with the values of secret keys masked, at any depth, and the secrets that other values show. */
export function maskJson(text: string): string {
  // for each object or list that is open: is it the value of a secret key, and the last key in it
  const open: { readonly secret: boolean; readonly isObject: boolean; key: string | undefined }[] = [];
  let expectsValue = true;
  return text.replace(TOKEN, (token) => {
    const inside = open.at(-1);
    const secret = inside?.secret === true || (inside?.key !== undefined && isSecretKey(inside.key));
    if (token === "{" || token === "[") {
      open.push({ secret: secret && expectsValue, isObject: token === "{", key: undefined });
      expectsValue = token === "[";
      return token;
    }
    if (token === "}" || token === "]") {
      open.pop();
      return token;
    }
    if (token === ":") expectsValue = true;
    else if (token === ",") {
      expectsValue = inside?.isObject !== true;
      if (inside !== undefined) inside.key = undefined;
    } else if (token.startsWith('"')) {
      if (inside?.isObject === true && !expectsValue) {
        inside.key = contentOf(token);
        return token;
      }
      return secret && isPlaceOfSecret(inside?.key, contentOf(token)) ? token : maskedString(token, secret);
    } else if (secret && /^-?\d/.test(token)) return `"${MASK}"`;
    return token;
  });
}

function maskedString(token: string, secret: boolean): string {
  if (secret) return `"${MASK}"`;
  const content = contentOf(token);
  const masked = maskText(content);
  // only what changed is spelled anew
  return masked === content ? token : JSON.stringify(masked);
}

/** Returns what a string of JSON says; of one that is broken, its text. */
function contentOf(token: string): string {
  try {
    return String(JSON.parse(token));
  } catch {
    return token.slice(1).replace(/"$/, "");
  }
}

/**
 * Returns a call's input with its secrets masked, the other bytes as they were. Bytes are taken for characters one by
 * one, which keeps them whatever they mean: everything that JSON is made of is ASCII.
 */
export function maskBytes(bytes: Uint8Array): Uint8Array {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
  const masked = maskJson(text);
  return masked === text ? bytes : Buffer.from(masked, "latin1");
}
