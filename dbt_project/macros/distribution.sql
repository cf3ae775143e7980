{# Owner labels out of columns <prefix>team, <prefix>cost_center, ..., as a map of those
   among the chosen labels. #}
{% macro owner_label_map(prefix) -%}
    {%- set pairs = [] -%}
    {%- for name in chosen_labels() if name in owner_labels() -%}
        {%- do pairs.append((name, prefix ~ name)) -%}
    {%- endfor -%}
    {{ map_of_entries(known_entries(pairs)) }}
{%- endmacro %}

{# The value of an owner's tag in the remainder's hint, team/research; null for others. #}
{% macro hinted(owner_hint, name) -%}
    case
        when left({{ owner_hint }}, {{ name | length + 1 }}) = '{{ name | replace("'", "''") }}/'
            then substr({{ owner_hint }}, {{ name | length + 2 }})
    end
{%- endmacro %}

{# CTE `crossing`: the rules of a month that may move cost from one payer to another, and
   moved some; no row for a month without any. #}
{% macro crossing_rules() -%}
crossing as (

    select
        billing_month,
        {{ list_text('rule', 'rule is not null') }} as rules
    from (
        select distinct
            billing_month,
            rule
        from {{ source('distribution', 'charge_rules') }}
        where across_payers and cost_count > 0
    ) as crossed
    group by billing_month

)
{%- endmacro %}

{% macro charge_types() -%}
    {{ return(['direct', 'idle', 'shared', 'unassigned']) }}
{%- endmacro %}

{# Units of 1e-10 USD of a sum, in an integer of 128 bits (DuckDB) or a decimal (Spark). #}
{% macro wide_units(usd, digits) %}{{ return(adapter.dispatch('wide_units')(usd, digits)) }}{% endmacro %}
{% macro default__wide_units(usd, digits) -%}
    (({{ usd }})::decimal(27, {{ digits }}) * {{ 10 ** digits }}::decimal(11, 0))::hugeint
{%- endmacro %}
{% macro spark__wide_units(usd, digits) -%}
    (({{ usd }})::decimal(27, {{ digits }}) * {{ 10 ** digits }}BD)::decimal(38, 0)
{%- endmacro %}

{# The month's charges by some keys, with the change since the month before.

   keys: triples of a name and what it is in fct_charges and in int_pod_costs__daily.

   The change is split in two: what another number of device-hours would have cost at the
   rate of the month before, and what the rate itself changed. Both are null where one of
   the months has no device-hours. #}
{% macro charges_rolled_up(keys) -%}
{%- set all_types = charge_types() + ['total'] -%}
-- All months: dbt would show an incremental model its own month alone. A month and the one
-- before it are rows of one relation and not joined, so that the month of a reader goes
-- down to the tables.
with

either as (

    {% for is_now in ['true', 'false'] -%}
    {%- set month = 'billing_month' if is_now == 'true'
        else '(billing_month + interval 1 month)::date' -%}
    select
        {{ month }} as billing_month,
        {% for name, of_charges, _ in keys %}{{ of_charges }} as {{ name }},
        {% endfor -%}
        {{ is_now }} as is_now,
        true as is_charge,
        charge_type,
        {% for basis in bases() %}{{ basis }}_usd,
        {% endfor -%}
        {% for resource in resources() -%}
        0::decimal(38, 12) as {{ resource }}_hours{{ ',' if not loop.last }}
        {% endfor %}
    from {{ ref('fct_charges').render() }}
    union all
    select
        {{ month }} as billing_month,
        {% for name, _, of_pods in keys %}{{ of_pods }} as {{ name }},
        {% endfor -%}
        {{ is_now }} as is_now,
        false as is_charge,
        null::string as charge_type,
        {% for basis in bases() %}null::decimal(38, 10) as {{ basis }}_usd,
        {% endfor -%}
        {% for resource in resources() -%}
        {{ resource }}_allocated_hours as {{ resource }}_hours{{ ',' if not loop.last }}
        {% endfor %}
    from {{ ref('int_pod_costs__daily').render() }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

compared as (

    select
        billing_month,
        {% for name, _, _ in keys %}{{ name }},
        {% endfor -%}
        {% for resource in resources() -%}
        coalesce(sum({{ resource }}_hours) filter (where is_now), 0) as {{ resource }}_hours,
        {% endfor -%}
        {% for basis in bases() -%}
        {% for type in all_types -%}
        -- A basis that the exports do not tell of all of it is null.
        case
            when
                count(*) filter (where is_now and is_charge)
                = count({{ basis }}_usd) filter (where is_now and is_charge)
                then coalesce(
                    sum({{ basis }}_usd) filter (
                        where is_now
                        {{- " and charge_type = '" ~ type ~ "'" if type != 'total' }}
                    ),
                    0
                )
        end::decimal(38, 10) as {{ basis }}_{{ type }}_usd,
        {% endfor -%}
        {% endfor -%}
        sum(amortized_usd) filter (where not is_now) as previous_usd,
        sum(accelerator_hours) filter (where not is_now) as previous_hours
    from either
    -- What was charged in the month before alone has a row too, of 0; but no month has one
    -- before it was charged itself.
    where billing_month in (select billing_month from {{ ref('fct_charges').render() }})
    group by billing_month, {% for name, _, _ in keys -%}
    {{ name }}{{ ', ' if not loop.last }}
    {%- endfor %}
    having count(*) filter (where is_charge) > 0

),

in_units as (

    select
        *,
        amortized_total_usd - previous_usd as change_usd,
        {{ wide_units('previous_usd', 10) }} as units_before,
        {{ wide_units('accelerator_hours', 9) }} as hours_now,
        case
            when previous_hours > 0 and accelerator_hours > 0
                then {{ wide_units('previous_hours', 9) }}
        end as hours_before
    from compared

),

final as (

    select
        billing_month,
        {% for name, _, _ in keys %}{{ name }},
        {% endfor -%}
        {% for resource in resources() -%}
        {{ nearest_double(resource ~ '_hours') }} as {{ resource }}_allocated_hours,
        {% endfor -%}
        {% for basis in bases() -%}
        {% for type in all_types %}{{ basis }}_{{ type }}_usd,
        {% endfor -%}
        {% endfor -%}
        previous_usd::decimal(38, 10) as previous_usd,
        change_usd::decimal(38, 10) as change_usd,
        case
            when previous_usd <> 0
                then {{ integer_divide(
                    wide_units('change_usd', 10) ~ ' * 10000', 'abs(units_before)'
                ) }}
        end::decimal(16, 0) * 0.01::decimal(2, 2) as change_percent,
        {{ usd(border('units_before', 'hours_now - hours_before', 'hours_before')) }}
        ::decimal(38, 10) as volume_change_usd,
        (
            change_usd
            - {{ usd(border('units_before', 'hours_now - hours_before', 'hours_before')) }}
        )::decimal(38, 10) as price_change_usd
    from in_units

)

select * from final
{%- endmacro %}
