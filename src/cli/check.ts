// `warren check NET NETNS`: asks the plugins whether an attachment is still as its ADD made it.
import { CniError } from "../cni/error.ts";
import { log } from "../log.ts";
import { checkNetwork } from "../runtime/chain.ts";
import { type AttachmentWork, attachmentCommand } from "./attachment-command.ts";

export const command = attachmentCommand(
  "check",
  "Check that an attachment is still as it was made",
  async (work) => {
    const { runtime, list, settings, attachment } = work;
    try {
      await checkNetwork(runtime, list, attachment);
    } catch (error) {
      throw error instanceof CniError && !isRemembered(work) ? notAttached(work, error) : error;
    }
    if (list.disableCheck) log.info(`network ${list.name} has disableCheck set: nothing was checked`);
    const { containerId, ifname } = attachment;
    return settings.json
      ? { network: list.name, containerId, ifname, checked: !list.disableCheck }
      : undefined;
  },
);

/** False if the cache has nothing of the attachment; a file that can't be read is told as such before. */
function isRemembered({ runtime, list, attachment }: AttachmentWork): boolean {
  try {
    return runtime.cache.read({ ...attachment, network: list.name }) !== undefined;
  } catch {
    return true;
  }
}

/** What a plugin says to a CHECK without a result helps nobody who has mistyped a name. */
function notAttached({ list, settings, attachment }: AttachmentWork, error: CniError): CniError {
  const { containerId, ifname } = attachment;
  return new CniError(
    error.code,
    `${containerId} ${ifname} is not attached to network ${list.name}, as far as ${settings.cacheFolder} tells: ${error.message}`,
    "see warren cache; --ifname, --container-id and --cache-dir have to be those of the ADD",
    { cause: error },
  );
}
