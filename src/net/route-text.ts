// A route as messages name it.
import { addressFromBytes, formatAddress } from "../ip/address.ts";
import { formatPrefix } from "../ip/prefix.ts";
import { type Route, Table } from "../netlink/route.ts";

/** Returns the route for people: `default via 10.88.0.1`, `10.88.0.0/16 in table 100`. */
export function routeText({ destination, prefixLength, paths, table }: Route): string {
  const where =
    destination === undefined
      ? "default"
      : formatPrefix({ address: addressFromBytes(destination), length: prefixLength });
  const gateways = paths.flatMap(({ gateway }) =>
    gateway === undefined ? [] : [` via ${formatAddress(addressFromBytes(gateway))}`],
  );
  return `${where}${gateways.join("")}${table === Table.main ? "" : ` in table ${table}`}`;
}
