// What the pages do without asking the server. dashboards/app.py binds the functions of `tallytrace`.
(function () {
  "use strict";

  var hex = /^[0-9a-f]{32}$/;
  var at = null;

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    tallytrace: {
      // Enter in the search box: to the page of that number. The box itself is asked, because a scanner types
      // faster than its letters reach the state of the page.
      lookUp: function () {
        var asked = document.getElementById("search").value.trim();
        var stay = window.dash_clientside.no_update;
        return asked ? ["/ui/transaction", "?id=" + encodeURIComponent(asked)] : [stay, stay];
      },

      // The window is named for the page; a new page takes the focus, a refreshed one leaves it where it is.
      describe: function (shown) {
        if (!shown) {
          return window.dash_clientside.no_update;
        }
        document.title = shown.title + " · Tallytrace";
        if (at !== null && at !== shown.at) {
          window.dash_clientside.set_props("told", { children: null });
          window.scrollTo(0, 0);
          document.getElementById("page").focus({ preventScroll: true });
        }
        at = shown.at;
        return shown.at;
      },

      // Done: the form closes, and the page is asked for again.
      acted: function (_clicks, ticks) {
        document.getElementById("act-form").close();
        return (ticks || 0) + 1;
      },

      // The box shows what the address asks for; a technical identity is not for reading.
      remember: function (search) {
        var id = new URLSearchParams(search || "").get("id") || "";
        return hex.test(id) ? "" : id;
      },
    },
  });

  document.addEventListener("keydown", function (event) {
    var box = document.getElementById("search");
    if (!box || event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    if (event.key === "/" && !event.target.closest("input, textarea, select, [contenteditable]")) {
      event.preventDefault();
      box.focus();
      box.select();
    } else if (event.key === "Escape" && event.target === box) {
      box.blur();
    }
  });

  // A refresh replaces what is on the page. What the reader opened stays open, and the focus stays where it was.
  var opened = new Set();
  var focused = null;
  var targets = "#page a, #page button, #page summary, #page [tabindex='0']";

  function named(number) {
    return location.href + " " + number;
  }

  function place(element, selector) {
    return named(Array.prototype.indexOf.call(document.querySelectorAll(selector), element));
  }

  document.addEventListener("toggle", function (event) {
    if (event.target.matches("#page .fold")) {
      opened[event.target.open ? "add" : "delete"](place(event.target, "#page .fold"));
    }
  }, true);

  document.addEventListener("focusin", function (event) {
    focused = event.target.matches(targets) ? place(event.target, targets) : null;
  });

  document.addEventListener("pointerdown", function () {
    focused = null;
  });

  new MutationObserver(function () {
    document.querySelectorAll("#page .fold").forEach(function (fold, number) {
      if (!fold.open && opened.has(named(number))) {
        fold.open = true;
      }
    });
    if (focused && document.activeElement === document.body) {
      document.querySelectorAll(targets).forEach(function (target, number) {
        if (named(number) === focused) {
          target.focus({ preventScroll: true });
        }
      });
    }
  }).observe(document.documentElement, { childList: true, subtree: true });

  function copy(text) {
    if (navigator.clipboard) {
      return navigator.clipboard.writeText(text);
    }
    // Browsers offer the clipboard only on https and localhost.
    var field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    var done = document.execCommand("copy");
    field.remove();
    return done ? Promise.resolve() : Promise.reject(new Error("the browser refused"));
  }

  // A button that copies: the address of the page, or what it carries. Its last word says how that went.
  function copying(button) {
    var label = button.querySelector("span:last-child");
    var before = label.textContent;
    var say = function (word) {
      label.textContent = word;
      setTimeout(function () {
        label.textContent = before;
      }, 2000);
    };
    copy(button.dataset.copy || window.location.href).then(
      function () { say("Copied"); },
      function () { say("Not allowed here"); }
    );
  }

  // --- acts: a form that asks who and why -------------------------------------------------------------------------

  function act(button) {
    window.dash_clientside.set_props("act", { data: JSON.parse(button.dataset.act) });
    window.dash_clientside.set_props("act-reason", { value: "" });
    window.dash_clientside.set_props("act-accept", { checked: false });
    document.getElementById("act-form").showModal();
  }

  // --- tables: sorted, filtered, saved ----------------------------------------------------------------------------

  // What is chosen is kept by page and table, and holds when a refresh draws the rows anew.
  var FILTERED_FROM = 10;
  var UNITS = { d: 86400, h: 3600, min: 60, s: 1, ms: 1e-3, "\u00b5s": 1e-6 };
  var sortings = new Map();
  var collator = new Intl.Collator("en", { numeric: true });

  function name(table) {
    return location.pathname + " " + table.caption.textContent;
  }

  // An amount, a time or what it says, as the server sent it.
  function said(element) {
    var exact = element.querySelector("data[value]");
    var time = element.querySelector("time[datetime]");
    var text = exact ? exact.getAttribute("value") : time ? time.getAttribute("datetime") : plainly(element);
    return text.replace(/\s+/g, " ").trim();
  }

  // A number, or seconds of a duration; null of anything else.
  function measure(text) {
    if (/^\u2212?(?:[\d.]+ (?:d|h|min|s|ms|\u00b5s) ?)+$/.test(text)) {
      return text.match(/[\d.]+ \S+/g).reduce(function (sum, part) {
        return sum + parseFloat(part) * UNITS[part.split(" ")[1]];
      }, 0);
    }
    var number = /^[\u2212-]?[^\d\s]?([\d,]+(?:\.\d+)?)(?:%| [A-Z]{3}\b.*| left| pt)?$/.exec(text);
    return number && !/^\d{4}-\d\d/.test(text)
      ? parseFloat(number[1].replace(/,/g, "")) * (/^[\u2212-]/.test(text) ? -1 : 1)
      : null;
  }

  function compare(one, other) {
    if (!one || !other || one === "\u2013" || other === "\u2013") {
      return null;
    }
    var left = measure(one), right = measure(other);
    return left !== null && right !== null ? left - right : collator.compare(one, other);
  }

  // Rows without a value stand last, whichever way the others do.
  function inOrder(table, sorting) {
    var rows = Array.from(table.tBodies[0].rows);
    rows.forEach(function (row, number) {
      row.dataset.number = row.dataset.number || number;
    });
    var column = Array.from(table.tHead.rows[0].cells).findIndex(function (head) {
      return head.textContent === sorting.title;
    });
    if (column < 0 || !sorting.way) {
      return rows.sort(function (one, other) { return one.dataset.number - other.dataset.number; });
    }
    var values = new Map(rows.map(function (row) { return [row, said(row.cells[column])]; }));
    var vacant = function (row) { return !values.get(row) || values.get(row) === "\u2013"; };
    return rows.sort(function (one, other) {
      var told = compare(values.get(one), values.get(other));
      return (told === null ? vacant(one) - vacant(other) : told * sorting.way)
        || one.dataset.number - other.dataset.number;
    });
  }

  function arrange(table) {
    var sorting = sortings.get(name(table));
    if (!sorting) {
      return;
    }
    var rows = inOrder(table, sorting);
    if (rows.some(function (row, place) { return table.tBodies[0].rows[place] !== row; })) {
      table.tBodies[0].append(...rows);
    }
    Array.from(table.tHead.rows[0].cells).forEach(function (head) {
      var way = head.textContent === sorting.title && sorting.way;
      var word = way ? (way > 0 ? "ascending" : "descending") : "none";
      if (head.getAttribute("aria-sort") !== word) {
        head.setAttribute("aria-sort", word);
      }
    });
  }

  // Up, down, as it came.
  function sort(button) {
    var table = button.closest("table");
    var title = button.closest("th").textContent;
    var before = sortings.get(name(table)) || {};
    var way = before.title !== title ? 1 : before.way > 0 ? -1 : before.way < 0 ? 0 : 1;
    sortings.set(name(table), { title: title, way: way });
    arrange(table);
  }

  function sieve(table, box) {
    var words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    Array.from(table.tBodies[0].rows).forEach(function (row) {
      var text = row.textContent.toLowerCase();
      var hidden = !words.every(function (word) { return text.includes(word); });
      if (row.hidden !== hidden) {
        row.hidden = hidden;
      }
    });
  }

  function equip() {
    document.querySelectorAll("#page .table-whole").forEach(function (whole) {
      var table = whole.querySelector("table"), box = whole.querySelector(".filter");
      if (box && box.dataset.of !== name(table)) {
        box.remove();
        box = null;
      }
      if (!box && table.tBodies[0].rows.length >= FILTERED_FROM) {
        box = document.createElement("input");
        box.type = "search";
        box.className = "filter";
        box.placeholder = "Filter";
        box.dataset.of = name(table);
        box.setAttribute("aria-label", "Filter: " + table.caption.textContent);
        whole.prepend(box);
      }
      if (box) {
        sieve(table, box);
      }
      arrange(table);
    });
  }

  document.addEventListener("input", function (event) {
    if (event.target.matches(".filter")) {
      sieve(event.target.parentElement.querySelector("table"), event.target);
    }
  });

  // What a spreadsheet would take for a formula is kept as text.
  function cell(element) {
    var text = said(element);
    var formula = /^[=+@\t]/.test(text) || (/^-/.test(text) && !/^-[\d.]/.test(text));
    return '"' + (formula ? "'" : "") + text.replace(/"/g, '""') + '"';
  }

  function save(button) {
    var table = button.parentElement.querySelector("table");
    var shown = Array.from(table.rows).filter(function (row) { return !row.hidden; });
    var lines = shown.map(function (row) {
      return Array.from(row.cells).map(cell).join(",");
    });
    var address = URL.createObjectURL(new Blob([lines.join("\r\n") + "\r\n"], { type: "text/csv;charset=utf-8" }));
    var link = document.createElement("a");
    link.href = address;
    link.download = table.caption.textContent.toLowerCase().replace(/[^a-z0-9]+/g, "-").slice(0, 60) + ".csv";
    link.click();
    URL.revokeObjectURL(address);
  }

  document.addEventListener("click", function (event) {
    var wanted = function (selector) {
      return event.target.closest(selector);
    };
    if (wanted("#copy-link, [data-copy]")) {
      copying(wanted("#copy-link, [data-copy]"));
    } else if (wanted("[data-act]")) {
      act(wanted("[data-act]"));
    } else if (wanted("#act-cancel")) {
      document.getElementById("act-form").close();
    } else if (wanted(".sort")) {
      sort(wanted(".sort"));
    } else if (wanted(".save")) {
      save(wanted(".save"));
    } else if (wanted(".print")) {
      window.print();
    }
  });

  document.addEventListener("change", function (event) {
    if (event.target.matches(".picker")) {
      // As a link of the page does: set_props would leave nothing to go back to.
      window.history.pushState({}, "", event.target.value);
      window.dispatchEvent(new CustomEvent("_dashprivate_pushstate"));
    }
  });

  // --- times in the viewer's zone, numbers in the viewer's locale --------------------------------------------------

  // Pages are sent in UTC; what a person reads is their own clock, with UTC in the title.
  var here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  var day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
  var whole = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", year: "numeric" });

  function clock(at, told) {
    var seconds = /\d:\d\d:\d\d/.test(told) ? "2-digit" : undefined;
    return new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: seconds }).format(at);
  }

  // The heading of a day stands over times that are of that day in UTC; those of another day here say so.
  function localise() {
    var heading = "";
    document.querySelectorAll("#page time[datetime], #read time").forEach(function (element) {
      var at = new Date(element.getAttribute("datetime"));
      var told = element.textContent;
      heading = element.closest(".tl-day") ? day.format(at) : heading;
      if (element.dataset.said === told) {
        return;
      }
      var dated = element.closest(".tl-time")
        ? day.format(at) !== heading
        : /[a-z]/i.test(told) || day.format(at) !== day.format(new Date());
      element.textContent = element.closest(".tl-day")
        ? whole.format(at).replace(",", "")
        : (dated ? day.format(at) + ", " : "") + clock(at, told);
      element.dataset.said = element.textContent;
    });
  }

  var language = navigator.language;
  var english = new Intl.NumberFormat(language).format(1234567.5) === "1,234,567.5";
  var numbers = /(?<![\w.,:\/-])\d{1,3}(?:,\d{3})+(?:\.\d+)?|(?<![\w.,:\/-])\d+\.\d+(?=%| ?(?:pt|d|h|min|s|ms|\u00b5s)\b)|(?<=[\u00a3\u20ac$]|[A-Z]{3}\u00a0)\d+\.\d+/g;
  var sent = new WeakMap(); // of a text that was rewritten: what it was, and what it is

  function rewrite(number) {
    var places = (number.split(".")[1] || "").length;
    return new Intl.NumberFormat(language, { minimumFractionDigits: places, maximumFractionDigits: places })
      .format(number.replace(/,/g, ""));
  }

  function texts(root) {
    var walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT, function (node) {
      return node.parentElement.closest("code, pre, time, script, style, svg, textarea")
        ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT;
    });
    var found = [];
    while (walker.nextNode()) {
      found.push(walker.currentNode);
    }
    return found;
  }

  function enumerate() {
    texts(document.body).forEach(function (node) {
      var before = sent.get(node);
      if (before && before.is === node.data) {
        return;
      }
      var is = node.data.replace(numbers, rewrite);
      if (is !== node.data) {
        sent.set(node, { was: node.data, is: is });
        node.data = is;
      }
    });
  }

  // What an element says, with numbers as they were sent.
  function plainly(element) {
    var rewritten = texts(element).filter(function (node) {
      return sent.has(node) && sent.get(node).is === node.data;
    });
    rewritten.forEach(function (node) { node.data = sent.get(node).was; });
    var text = element.innerText;
    rewritten.forEach(function (node) { node.data = sent.get(node).is; });
    return text;
  }

  new MutationObserver(function () {
    if (here !== "UTC") {
      localise();
    }
    if (!english) {
      enumerate();
    }
    equip();
  }).observe(document.documentElement, { childList: true, characterData: true, subtree: true });

  // --- where one is in the pages ----------------------------------------------------------------------------------

  var first = /^\/ui\/?([a-z]*)/;

  function mark() {
    var on = first.exec(location.pathname);
    document.querySelectorAll(".nav-link").forEach(function (link) {
      var its = first.exec(link.pathname);
      var current = on && its && (on[1] === its[1] || (on[1] === "sla" && its[1] === ""));
      if (current && !link.hasAttribute("aria-current")) {
        link.setAttribute("aria-current", "page");
        reveal(link);
      } else if (!current && link.hasAttribute("aria-current")) {
        link.removeAttribute("aria-current");
      }
    });
    document.querySelectorAll("#page .tabs").forEach(function (row) {
      var chosen = row.querySelector(".chosen");
      if (chosen && row.dataset.shows !== chosen.href) {
        row.dataset.shows = chosen.href;
        reveal(chosen);
      }
    });
  }

  // On a narrow screen a row of links is moved until the one that is on stands in its middle.
  function reveal(link) {
    var row = link.parentElement;
    row.scrollLeft = link.offsetLeft - row.offsetLeft - (row.clientWidth - link.offsetWidth) / 2;
  }

  new MutationObserver(mark).observe(document.documentElement, { childList: true, subtree: true });
})();
