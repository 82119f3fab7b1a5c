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

  // --- tables as files --------------------------------------------------------------------------------------------

  // What a spreadsheet would take for a formula is kept as text.
  function cell(element) {
    var exact = element.querySelector("data[value]");
    var time = element.querySelector("time[datetime]");
    var said = exact ? exact.getAttribute("value") : time ? time.getAttribute("datetime") : element.innerText;
    var text = said.replace(/\s+/g, " ").trim();
    var formula = /^[=+@\t]/.test(text) || (/^-/.test(text) && !/^-[\d.]/.test(text));
    return '"' + (formula ? "'" : "") + text.replace(/"/g, '""') + '"';
  }

  function save(button) {
    var table = button.parentElement.querySelector("table");
    var lines = Array.prototype.map.call(table.rows, function (row) {
      return Array.prototype.map.call(row.cells, cell).join(",");
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
    } else if (wanted(".save")) {
      save(wanted(".save"));
    } else if (wanted(".print")) {
      window.print();
    }
  });

  // --- times in the viewer's zone ---------------------------------------------------------------------------------

  // Pages are sent in UTC; what a person reads is their own clock, with UTC in the title.
  var here = Intl.DateTimeFormat().resolvedOptions().timeZone;
  var day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

  function localise() {
    document.querySelectorAll("#page time[datetime]").forEach(function (element) {
      if (element.dataset.said === element.textContent) {
        return;
      }
      var at = new Date(element.getAttribute("datetime"));
      var told = element.textContent;
      var seconds = /\d:\d\d:\d\d/.test(told) ? "2-digit" : undefined;
      var time = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: seconds }).format(at);
      var dated = !element.closest(".tl-time") && (/[a-z]/i.test(told) || day.format(at) !== day.format(new Date()));
      element.textContent = dated ? day.format(at) + ", " + time : time;
      element.dataset.said = element.textContent;
    });
  }

  if (here !== "UTC") {
    new MutationObserver(localise).observe(document.documentElement, { childList: true, subtree: true });
  }

  // --- where one is in the pages ----------------------------------------------------------------------------------

  var first = /^\/ui\/?([a-z]*)/;

  function mark() {
    var on = first.exec(location.pathname);
    document.querySelectorAll(".nav-link").forEach(function (link) {
      var its = first.exec(link.pathname);
      var current = on && its && (on[1] === its[1] || (on[1] === "sla" && its[1] === ""));
      if (current && !link.hasAttribute("aria-current")) {
        link.setAttribute("aria-current", "page");
      } else if (!current && link.hasAttribute("aria-current")) {
        link.removeAttribute("aria-current");
      }
    });
  }

  new MutationObserver(mark).observe(document.documentElement, { childList: true, subtree: true });
})();
