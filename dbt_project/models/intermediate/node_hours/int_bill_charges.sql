with

lines as (

    select * from {{ ref('int_bill_lines__costed') }}

),

{{ known_bases() }},

spread_fees as (

    select * from {{ ref('int_capacity_block_fees__spread') }}

),

block_hours as (

    select * from {{ ref('int_capacity_block_hours__apportioned') }}

),

host_hours as (

    select * from {{ ref('int_dedicated_host_hours__apportioned') }}

),

hyperpod_hours as (

    select * from {{ ref('int_hyperpod_hours__apportioned') }}

),

{% set facts = [
    'billing_month', 'payer_account_id', 'usage_account_id', 'region_code', 'line_type',
    'product_code', 'product_family', 'usage_type', 'operation', 'resource_id',
    'usage_started_at', 'usage_ended_at', 'usage_amount', 'product', 'resource_tags',
    'carries_pod', 'is_of_reservation',
    'capacity_reservation_id', 'capacity_reservation_status', 'is_capacity_block_fee',
    'instance_type', 'usage_type_prefix', 'node_component', 'node_instance_id',
] -%}
billed as (

    select
        {% for fact in facts %}lines.{{ fact }},
        {% endfor -%}
        lines.unblended_usd,
        case
            when spread_fees.capacity_reservation_id is null then lines.amortized_usd
            when lines.amortized_usd is not null then 0
        end::decimal(38, 10) as amortized_usd,
        case
            when spread_fees.capacity_reservation_id is null then lines.net_amortized_usd
            when lines.net_amortized_usd is not null then 0
        end::decimal(38, 10) as net_amortized_usd,
        lines.public_on_demand_usd
    from lines
    left join spread_fees
        on
            lines.is_capacity_block_fee
            and lines.billing_month = spread_fees.billing_month
            and lines.payer_account_id = spread_fees.payer_account_id
            and lines.capacity_reservation_id = spread_fees.capacity_reservation_id
    where
        not lines.is_aws_split_row
        -- These come back below, hour by hour and node by node.
        and not (lines.node_component is not null and lines.node_instance_id is null)

),

parts as (

    select
        billing_month,
        payer_account_id,
        usage_account_id,
        region_code,
        'Usage' as line_type,
        'AmazonEC2' as product_code,
        null::string as product_family,
        'CapacityBlock:' || instance_type as usage_type,
        null::string as operation,
        instance_id as resource_id,
        usage_hour as usage_started_at,
        usage_hour + interval 1 hour as usage_ended_at,
        0::decimal(38, 18) as usage_amount,
        {{ no_tags() }} as product,
        {{ no_tags() }} as resource_tags,
        false as carries_pod,
        false as is_of_reservation,
        capacity_reservation_id,
        case when instance_id is null then 'Unused' else 'Used' end
            as capacity_reservation_status,
        false as is_capacity_block_fee,
        instance_type,
        null::string as usage_type_prefix,
        case when instance_id is not null then 'reservation' end as node_component,
        instance_id as node_instance_id,
        0::decimal(38, 10) as unblended_usd,
        amortized_usd,
        net_amortized_usd,
        0::decimal(38, 10) as public_on_demand_usd
    from block_hours
    union all
    {% for relation, component, product, usage_type, resource in [
        (
            'host_hours', 'host', 'AmazonEC2', 'HostUsage',
            'coalesce(instance_id, host_id)',
        ),
        ('hyperpod_hours', 'instance', 'AmazonSageMaker', 'Cluster', 'instance_id'),
    ] -%}
    select
        billing_month,
        payer_account_id,
        usage_account_id,
        region_code,
        'Usage' as line_type,
        '{{ product }}' as product_code,
        null::string as product_family,
        '{{ usage_type }}' as usage_type,
        null::string as operation,
        {{ resource }} as resource_id,
        usage_hour as usage_started_at,
        usage_hour + interval 1 hour as usage_ended_at,
        {{ hours_of('usage_seconds') }} as usage_amount,
        {{ no_tags() }} as product,
        {{ no_tags() }} as resource_tags,
        false as carries_pod,
        false as is_of_reservation,
        null::string as capacity_reservation_id,
        null::string as capacity_reservation_status,
        false as is_capacity_block_fee,
        instance_type,
        usage_type_prefix,
        case when instance_id is not null then '{{ component }}' end as node_component,
        instance_id as node_instance_id,
        unblended_usd,
        amortized_usd,
        net_amortized_usd,
        public_on_demand_usd
    from {{ relation }}
    {% if not loop.last %}union all{% endif %}
    {% endfor %}
),

final as (

    select
        {% for fact in facts %}{{ fact }},
        {% endfor -%}
        {% for basis in bases() -%}
        {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from billed
    union all
    select
        {% for fact in facts %}parts.{{ fact }},
        {% endfor -%}
        {% for basis in bases() -%}
        case when known.is_{{ basis }}_known then parts.{{ basis }}_usd end
            as {{ basis }}_usd{{ ',' if not loop.last }}
        {% endfor %}
    from parts
    left join known
        on
            parts.billing_month = known.billing_month
            and parts.payer_account_id = known.payer_account_id

)

select * from final
