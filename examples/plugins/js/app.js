// The exports of the component, made from `plugin.js` and the interface (WIT).
import * as border from "tidegate:plugin/host@0.1.0";
import plugin from "./plugin.js";
import { component } from "./tidegate.js";

export const { describe, callTool, onRequest, onUpstreamRequest, onResponse } = component(plugin, border);
