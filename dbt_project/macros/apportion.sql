{# How a node-hour's cost becomes prices of its resources, exactly.

   Money is counted in whole units of 1e-10 USD, sizes (weight x capacity) in whole units
   of 1e-18. The resources are lined up, and each border between them is rounded once: the
   parts add up to the node-hour's cost by construction, each within a unit of its share.
   Everything stays below 2**127 for costs of up to 100,000 USD an hour of one instance and
   sizes of up to 25,000 GiB. #}

{% macro size(weight, capacity) -%}
    {{ whole(weight, 14) }} * {{ whole(capacity, 4) }}
{%- endmacro %}

{# Rounded to the nearest unit, halves away from zero, so that credits mirror charges. #}
{% macro border(units, size, total) -%}
    sign({{ units }})::int * ({{ integer_divide(
        '2 * abs(' ~ units ~ ') * (' ~ size ~ ') + ' ~ total, '2 * ' ~ total
    ) }})
{%- endmacro %}

{% macro price_resources(weighted, version) -%}
sized as (

    select
        *,
        {% for resource, capacity in [
            ('accelerator', 'accelerators'), ('vcpu', 'vcpu'), ('memory', 'memory_gib')
        ] -%}
        {{ size(resource ~ '_weight', capacity) }} as {{ resource }}_size,
        {% endfor -%}
        {% for basis in bases() -%}
        {{ whole(basis ~ '_usd', 10) }} as {{ basis }}_units{{ ',' if not loop.last }}
        {% endfor %}
    from {{ weighted }}

),

totalled as (

    select
        *,
        accelerator_size + vcpu_size as until_memory_size,
        accelerator_size + vcpu_size + memory_size as total_size
    from sized

),

bordered as (

    select
        *,
        {% for basis in bases() -%}
        {{ border(basis ~ '_units', 'accelerator_size', 'total_size') }}
            as {{ basis }}_until_vcpu,
        {{ border(basis ~ '_units', 'until_memory_size', 'total_size') }}
            as {{ basis }}_until_memory{{ ',' if not loop.last }}
        {% endfor %}
    from totalled

),

final as (

    select
        billing_month,
        payer_account_id,
        usage_account_id,
        region_code,
        usage_type_prefix,
        instance_id,
        usage_hour,
        instance_type,
        cluster_name,
        node_name,
        sharing_labels,
        is_cluster_tagged,
        is_in_inventory,
        usage_hours,
        {{ version }} as method_version,
        accelerators,
        accelerator_memory_gib,
        vcpu,
        memory_gib,
        accelerator_weight,
        vcpu_weight,
        memory_weight,
        {% for resource, capacity in [
            ('accelerator', 'accelerators'), ('vcpu', 'vcpu'), ('memory', 'memory_gib')
        ] -%}
        {{ capacity }}::double * {{ nearest_double('usage_hours') }}
            as {{ resource }}_capacity_hours,
        {% endfor -%}
        {% for basis in bases() -%}
        {{ usd(basis ~ '_until_vcpu') }} as accelerator_{{ basis }}_usd,
        {{ usd(basis ~ '_until_memory - ' ~ basis ~ '_until_vcpu') }}
            as vcpu_{{ basis }}_usd,
        {{ usd(basis ~ '_units - ' ~ basis ~ '_until_memory') }} as memory_{{ basis }}_usd,
        {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from bordered

)

select * from final
{%- endmacro %}

{# A group's cost given to its claimants by weight: rows of a relation that has, beside the
   columns of the group, `claimant`, `is_left` (true for what nobody took, at most one row a
   group), `weight` (whole, 0 or more) and the group's cost in each of the bases. Claimants
   are lined up by name, what is left comes last, and each border is rounded once. #}
{% macro apportioned(relation, group, money) -%}
lined_up as (

    select
        *,
        {{ wide('sum(weight) over (partition by ' ~ group | join(', ')
            ~ ' order by is_left, claimant rows unbounded preceding)') }} as until_weight,
        {{ wide('sum(weight) over (partition by ' ~ group | join(', ') ~ ')') }}
            as total_weight
    from {{ relation }}

),

apportioned as (

    select
        *,
        {% for basis in money -%}
        {{ usd(
            border(whole(basis ~ '_usd', 10), 'until_weight', 'total_weight') ~ ' - '
            ~ border(whole(basis ~ '_usd', 10), 'until_weight - ' ~ wide('weight'), 'total_weight')
        ) }} as {{ basis }}_part_usd{{ ',' if not loop.last }}
        {% endfor %}
    from lined_up
    where total_weight > 0

)
{%- endmacro %}
