// What is masked in a record, and that nothing else changes by a single byte.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MASK, maskBytes, maskJson, maskText } from "../../../src/record/redaction.ts";

describe("S2-09 secrets are masked", () => {
  test.each([
    ['{"password": "hunter2", "user": "cni"}', `{"password": "${MASK}", "user": "cni"}`],
    [
      '{"ipam":{"db_passwd":"x","list":[{"apiKey":"y"}]}}',
      `{"ipam":{"db_passwd":"${MASK}","list":[{"apiKey":"${MASK}"}]}}`,
    ],
    [
      '{"private-key":"x","PrivateKey":"x","presharedKey":"x"}',
      `{"private-key":"${MASK}","PrivateKey":"${MASK}","presharedKey":"${MASK}"}`,
    ],
    ['{"token":12345,"hasToken":true,"secret":null}', `{"token":"${MASK}","hasToken":true,"secret":null}`],
    [
      '{"secrets":{"a":"x","b":["y",7]},"after":"z"}',
      `{"secrets":{"a":"${MASK}","b":["${MASK}","${MASK}"]},"after":"z"}`,
    ],
    ['{"pass\\u0077ord":"x"}', `{"pass\\u0077ord":"${MASK}"}`],
    ['{"dsn":"postgres://cni:p@ss/w:ord@db:5432/ipam"}', `{"dsn":"postgres://cni:${MASK}@db:5432/ipam"}`],
    ['{"dsn":"host=db password=\'a b\\\\\' c\' user=cni"}', `{"dsn":"host=db password=${MASK} user=cni"}`],
    ['{"dsn":"host=db password=a\\\\\\"b user=cni"}', `{"dsn":"host=db password=${MASK}\\"b user=cni"}`],
    ['["password=x", "token"]', `["password=${MASK}", "token"]`],
    // half of a config is recorded too
    ['{"password":"hunt', `{"password":"${MASK}"`],
    ['{"password":"hunt\\', `{"password":"${MASK}"`],
    ['x{"a":1,"password":"hunter2"', `x{"a":1,"password":"${MASK}"`],
  ])("%s", (text, masked) => {
    expect(maskJson(text)).toBe(masked);
  });

  test.each([
    ["IP=10.1.0.7;DB_PASSWORD=x;K8S_POD_NAME=web", `IP=10.1.0.7;DB_PASSWORD=${MASK};K8S_POD_NAME=web`],
    ["containerd --token=abc --root /run", `containerd --token=${MASK} --root /run`],
  ])("%s", (text, masked) => {
    expect(maskText(text)).toBe(masked);
  });
});

test.each([
  '{ "cniVersion" : "1.1.0",\n\t"name": "lab", "mode": "passthru", "bypass": "x", "keepalive": 25 }',
  '{"address":"10.1.0.2/24","a":"b:c@d","url":"http://host/path","n":18446744073709551615}',
  'no JSON at all \\ " { ] :',
])("%j has no secret and stays as it is", (text) => {
  expect(maskJson(text)).toBe(text);
});

test.each(["x".repeat(1e6), "a://b:".repeat(1e5), "a='".repeat(1e5), '"a\\'.repeat(1e5), "a =".repeat(1e5)])(
  "a long text of %.6s takes no longer than it is",
  (text) => {
    // a pattern that begins anew at every character would take minutes here
    expect(maskJson(`"${text}`).length).toBeGreaterThan(0);
    expect(maskText(text).length).toBeGreaterThan(0);
  },
);

test("bytes that are no text stay as they are", () => {
  const bytes = new Uint8Array([0x7b, 0xff, 0xfe, 0x22, 0xc3, 0xa4, 0x22, 0x00, 0x80]);
  expect(maskBytes(bytes)).toEqual(bytes);
  expect(Buffer.from(maskBytes(Buffer.from('{"ä":"ö","token":"ü"}'))).toString()).toBe(
    `{"ä":"ö","token":"${MASK}"}`,
  );
});

test("no value of a secret key shows, however deep it stands, and the rest is the same", () => {
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 4 },
      fc.string().map((text) => `plain-${text.replace(/[=:@]/g, "")}`),
      fc.integer(),
      fc.boolean(),
      fc.array(tie("any"), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom("a", "b", "password", "authToken"), tie("any"), { maxKeys: 3 }),
    ),
  })).any;
  const masked = (one: unknown, secret: boolean): unknown => {
    if (Array.isArray(one)) return one.map((item) => masked(item, secret));
    if (typeof one === "object" && one !== null) {
      const inside = Object.entries(one).map(([key, item]) => [
        key,
        masked(item, secret || key === "password" || key === "authToken"),
      ]);
      return Object.fromEntries(inside);
    }
    return secret && typeof one !== "boolean" ? MASK : one;
  };
  fc.assert(
    fc.property(value, fc.constantFrom(undefined, 2), (document, indent) => {
      expect(JSON.parse(maskJson(JSON.stringify(document, null, indent)))).toEqual(masked(document, false));
    }),
  );
});
