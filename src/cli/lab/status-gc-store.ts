// The two stores that the story of STATUS and GC can be played with, a file and PostgreSQL: what the network's file says of
// each, how each is out of reach, and how it comes back. All else of the story is the same.
import { mkdirSync } from "node:fs";
import { DATABASE_USER, LabServer, serverPrograms } from "./database-server.ts";
import { CONF_FILE, type ConfFile, FOLDERS } from "./sandbox.ts";
import type { Stage } from "./stage.ts";
import type { Backstage } from "./story.ts";

/** A store, as the story tells it. */
export interface StoryStore {
  readonly confFile: ConfFile;
  /** What remembers, as the end of a sentence. */
  readonly place: string;
  /** Why it is out of reach at first, as a sentence. */
  readonly absence: string;
  /** What STATUS names as the cause. */
  readonly cause: string;
  /** What happens then, as a sentence. */
  readonly appearance: string;
  /** Shows the command that brings it back, and runs it. */
  readonly bringBack: (stage: Stage) => Promise<void>;
  /** What the story needs behind it. */
  readonly backstage?: Backstage;
}

/** The stores by what `--store` calls them. */
export const STORIES = { sqlite: fileStore, postgres: postgresStore } as const;

function fileStore(): StoryStore {
  return {
    confFile: CONF_FILE,
    place: 'the directory "dataDir"',
    absence: `The store is meant to be on a disk that is not mounted: ${FOLDERS.disk} does not exist.`,
    cause: FOLDERS.disk,
    appearance: "The disk appears.",
    bringBack: async (stage) => {
      await stage.show(`mkdir ${FOLDERS.disk}`);
    },
  };
}

const SOCKET_FOLDER = "/run/lab/postgres";
const PASSWORD_FILE = "/run/lab/password";

/** Throws CniError where the machine has no server. */
function postgresStore(): StoryStore {
  serverPrograms();
  const server = new LabServer(SOCKET_FOLDER, PASSWORD_FILE);
  return {
    confFile: { ...CONF_FILE, text: withStore(CONF_FILE.text) },
    place: 'the PostgreSQL database of "store"',
    absence: "The store is a database, and its server does not run.",
    cause: `the PostgreSQL database postgres at ${SOCKET_FOLDER}`,
    appearance: "The server is started, by a user without rights and for this lab alone.",
    bringBack: async (stage) => {
      stage.command(`postgres -D ${server.data} &`);
      await server.start();
    },
    backstage: {
      async prepare() {
        // what a node makes for itself stays in its own file
        mkdirSync(FOLDERS.disk, { recursive: true });
        await server.make();
      },
      [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
    },
  };
}

/** Returns the network's file with its leases in the lab's database, and every other byte as it was. */
function withStore(text: string): string {
  const settings = {
    host: SOCKET_FOLDER,
    user: DATABASE_USER,
    database: "postgres",
    passwordFile: PASSWORD_FILE,
    nodeName: "lab",
  };
  const store = JSON.stringify({ postgres: settings }, undefined, 2).replaceAll("\n", "\n        ");
  return text.replace(/"dataDir": "[^"]*"/, (dataDir) => `${dataDir},\n        "store": ${store}`);
}
